// SPDX-License-Identifier: Apache-2.0
// Which sections there are, and the order of checking before changing.
#include "platform/snapshot/snapshot.h"

#include <memory>
#include <optional>

#include <fmt/format.h>

#include "platform/boot/file.h"
#include "platform/machine.h"
#include "platform/snapshot/configuration.h"
#include "platform/snapshot/container.h"
#include "platform/snapshot/digest.h"
#include "platform/snapshot/epc.h"
#include "platform/snapshot/pages.h"
#include "platform/snapshot/processor.h"
#include "platform/snapshot/translations.h"

namespace postern::platform {
namespace {

using namespace snapshot;

constexpr u32 format = 4;

u64 ram_size(const cpu::System& system) { return system.memory.low_size + system.memory.high_size; }

Version this_version() { return {format, processor_layout()}; }

Configuration configuration_of(const SnapshotSubject& s) {
    return snapshot::configuration_of(*s.system);
}

Bytes copy_of(View bytes) { return {bytes.begin(), bytes.end()}; }

std::string device_section(const Part& part) { return "device." + part.name; }

/// Everything but the pages of RAM and EPC.
std::vector<Section> small_sections(const SnapshotSubject& s) {
    std::vector<Section> sections;
    sections.push_back({"machine", copy_of(bytes_of(configuration_of(s)))});
    for (size_t n = 0; n < s.processors().size(); ++n) {
        sections.push_back({fmt::format("cpu.{}", n), save_processor(*s.processors()[n])});
        sections.push_back({fmt::format("tlb.{}", n), save_translations(*s.processors()[n])});
    }
    for (const Part& part : s.parts) sections.push_back({device_section(part), part.save()});
    if (s.system->epc != nullptr) sections.push_back({"epcm", save_epc(*s.system->epc)});
    return sections;
}

std::vector<Section> all_sections(const SnapshotSubject& s) {
    std::vector<Section> sections = small_sections(s);
    sections.push_back({"ram", pack_pages(s.system->memory.ram, ram_size(*s.system))});
    if (const cpu::Epc* epc = s.system->epc)
        sections.push_back({"epc", pack_pages(epc->bytes, epc->size)});
    return sections;
}

/// A snapshot whose every section has been looked at.
struct Checked {
    std::vector<std::unique_ptr<cpu::Cpu>> processors;
    std::vector<View> translations;
    std::vector<View> parts;
    View epcm, ram, epc;
    u64 sgx_seed = 0;
};

/// Looks at the sections in the order in which they are written.
class Checker {
public:
    Checker(const SnapshotSubject& subject, std::vector<FoundSection> sections,
            const std::string& name)
        : s_{subject}, sections_{std::move(sections)}, name_{name} {}

    Expected<Checked> check() {
        check_configuration();
        for (u32 n = 0; n < s_.processors().size() && !error_; ++n) check_processor(n);
        for (const Part& part : s_.parts)
            if (!error_) check_part(part);
        check_memory();
        if (!error_ && next_ != sections_.size())
            fail(fmt::format("section {} is none that this machine has", sections_[next_].name));
        if (error_) return std::unexpected{*error_};
        return std::move(result_);
    }

private:
    void fail(std::string what) {
        if (!error_)
            error_ = Error{std::move(what), name_,
                           "a file that --save wrote, and the same options as then"};
    }

    /// The next section, whose name must be `section`; empty after an error.
    View take(const std::string& section) {
        if (error_) return {};
        if (next_ < sections_.size() && sections_[next_].name == section)
            return sections_[next_++].bytes;
        fail(fmt::format("the snapshot lacks section {}", section));
        return {};
    }
    void require(bool good, const std::string& section) {
        if (!good) fail(fmt::format("section {} of the snapshot makes no sense", section));
    }

    void check_configuration() {
        Cursor cursor{take("machine")};
        Configuration there{};
        require(cursor.take(there) && cursor.left() == 0, "machine");
        Configuration here = configuration_of(s_);
        if (s_.takes_sgx_seed) here.sgx_seed = there.sgx_seed;
        result_.sgx_seed = there.sgx_seed;
        if (!error_ && there != here) error_ = difference(there, here, name_);
    }
    void check_processor(u32 n) {
        const std::string registers = fmt::format("cpu.{}", n);
        const std::string tlb = fmt::format("tlb.{}", n);
        auto processor = plausible_processor(take(registers), n, *s_.system);
        require(processor != nullptr, registers);
        result_.processors.push_back(std::move(processor));
        const View translations = take(tlb);
        require(plausible_translations(translations, *s_.system), tlb);
        result_.translations.push_back(translations);
    }
    void check_part(const Part& part) {
        const std::string section = device_section(part);
        const View bytes = take(section);
        require(bytes.size() == part.size && part.plausible(bytes), section);
        result_.parts.push_back(bytes);
    }
    void check_memory() {
        const cpu::Epc* const epc = s_.system->epc;
        if (epc != nullptr) {
            result_.epcm = take("epcm");
            require(plausible_epc(result_.epcm, *epc), "epcm");
        }
        result_.ram = take("ram");
        if (!error_) require(plausible_pages(result_.ram, ram_size(*s_.system)), "ram");
        if (epc != nullptr) {
            result_.epc = take("epc");
            if (!error_) require(plausible_pages(result_.epc, epc->size), "epc");
        }
    }

    const SnapshotSubject& s_;
    std::vector<FoundSection> sections_;
    const std::string& name_;
    size_t next_ = 0;
    Checked result_;
    std::optional<Error> error_;
};

void restore(const SnapshotSubject& s, const Checked& from) {
    s.system->sgx_seed = from.sgx_seed;
    restore_pages(from.ram, s.system->memory.ram, ram_size(*s.system));
    if (cpu::Epc* epc = s.system->epc) {
        restore_pages(from.epc, epc->bytes, epc->size);
        restore_epc(*epc, from.epcm);
    }
    for (size_t n = 0; n < s.parts.size(); ++n) s.parts[n].restore(from.parts[n]);
    for (size_t n = 0; n < s.processors().size(); ++n)
        restore_processor(*s.processors()[n], *from.processors[n]);
    for (cpu::Cpu* const c : s.processors()) forget_translations(*c);
    for (size_t n = 0; n < s.processors().size(); ++n)
        insert_translations(*s.processors()[n], from.translations[n]);
}

/// No snapshot of such a machine is larger: pages that do not compress, and the rest.
u64 largest_file(const SnapshotSubject& s) {
    const u64 epc = s.system->epc != nullptr ? s.system->epc->size : 0;
    const u64 memory = ram_size(*s.system) + epc;
    return memory + memory / 64 + (u64{1} << 20) * (1 + s.processors().size() + s.parts.size());
}

}  // namespace

SnapshotSubject subject_of(Machine& machine) {
    SnapshotSubject s{&machine.system(), {}, false};
    s.parts.push_back(part("bus", machine.bus()));
    if (LocalApic* apic = machine.local_apic()) s.parts.push_back(part("apic.0", *apic));
    return s;
}

Expected<void> save_snapshot(const SnapshotSubject& subject, const std::string& path) {
    return write_container(path, this_version(), all_sections(subject));
}

Bytes snapshot_bytes(const SnapshotSubject& subject) {
    return encode_container(this_version(), all_sections(subject));
}

Expected<void> load_snapshot(const SnapshotSubject& subject, View file, const std::string& name) {
    auto sections = decode_container(file, name, this_version());
    if (!sections) return std::unexpected{sections.error()};
    auto checked = Checker{subject, std::move(*sections), name}.check();
    if (!checked) return std::unexpected{checked.error()};
    restore(subject, *checked);
    return {};
}

Expected<void> load_snapshot(const SnapshotSubject& subject, const std::string& path) {
    const auto file = read_file(path, largest_file(subject), "a file that --save wrote");
    if (!file) return std::unexpected{file.error()};
    return load_snapshot(subject, *file, path);
}

std::string state_digest(const SnapshotSubject& subject) {
    Digest digest;
    for (const Section& section : small_sections(subject)) {
        digest.add_text(section.name);
        digest.add_sized(section.bytes);
    }
    digest.add_memory(subject.system->memory.ram, ram_size(*subject.system));
    if (const cpu::Epc* epc = subject.system->epc) digest.add_memory(epc->bytes, epc->size);
    return digest.finish();
}

}  // namespace postern::platform
