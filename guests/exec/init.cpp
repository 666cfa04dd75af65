// SPDX-License-Identifier: Apache-2.0
// The first program of `postern exec`'s kernel: makes the file system usable, waits for the user's
// program, runs it and tells how it ended.
#include <net/if.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

#include "guests/exec/end.h"
#include "guests/exec/payload.h"
#include "guests/exec/program.h"

namespace postern::exec {

namespace {

/// All bytes of the widest access.
struct PortRange {
    unsigned long first, count;
};
constexpr PortRange ranges[] = {
    {port_complaint, 1}, {port_end, 5}, {port_selector, 5}, {port_output, 8}};

struct Mount {
    const char* kind;
    const char* place;
    mode_t mode;
};

constexpr Mount mounts[] = {
    {"proc", "/proc", 0555},      {"sysfs", "/sys", 0555},      {"devtmpfs", "/dev", 0755},
    {"devpts", "/dev/pts", 0755}, {"tmpfs", "/dev/shm", 01777},
};

struct Link {
    const char* target;
    const char* place;
};

constexpr Link links[] = {{"/proc/self/fd", "/dev/fd"},
                          {"/proc/self/fd/0", "/dev/stdin"},
                          {"/proc/self/fd/1", "/dev/stdout"},
                          {"/proc/self/fd/2", "/dev/stderr"}};

void make_file_system() {
    umask(0);
    chmod("/", 0755);
    for (const Mount& m : mounts) {
        mkdir(m.place, m.mode);  // it may be there
        if (mount(m.kind, m.place, m.kind, 0, nullptr) != 0) fail(m.place);
    }
    for (const Link& link : links)
        if (symlink(link.target, link.place) != 0) fail(link.place);
    for (const char* const place : {"/tmp", "/var/tmp"}) {
        mkdir("/var", 0755);
        if (mkdir(place, 01777) != 0) fail(place);
    }
    mkdir("/root", 0700);
    umask(022);
}

/// 127.0.0.1 is the kernel's own doing once the interface is up.
void raise_loopback() {
    const int socket_file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_file < 0) fail("a socket");
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(socket_file, SIOCSIFFLAGS, &request) != 0) fail("the loopback interface");
    close(socket_file);
}

}  // namespace

}  // namespace postern::exec

int main() {
    using namespace postern::exec;
    for (const PortRange& range : ranges)
        if (ioperm(range.first, range.count, 1) != 0) return 1;  // the kernel says that init ended
    make_file_system();
    raise_loopback();
    if (sethostname("postern", std::strlen("postern")) != 0) fail("the host's name");
    if (chdir("/") != 0) fail("/");
    out32(port_mark, 1);
    unpack_files();
    run_program(read_command());
}
