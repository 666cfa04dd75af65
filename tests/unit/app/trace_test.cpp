// SPDX-License-Identifier: Apache-2.0
// What a trace's writer writes, and what its reader believes.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "app/trace_reader.h"
#include "app/trace_writer.h"
#include "unit/app/trace_file.h"

namespace postern::app {
namespace {

using namespace test;

struct Heard final : hv::Watcher {
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override { ++anomalies; }
    void stopped(const hv::StopReport&) override { ++stops; }
    void enclave(const hv::EnclaveIdentity& one) override { enclaves.push_back(one); }

    std::vector<hv::ExitRecord> exits;
    std::vector<hv::EnclaveIdentity> enclaves;
    int anomalies = 0, stops = 0;
};

struct Read {
    std::vector<Record> records;
    TraceEnding ending;
    std::string fault;  // empty: none
};

Read read(const std::string& path) {
    Read all;
    auto reader = TraceReader::open(path);
    if (!reader) {
        all.fault = reader.error().what;
        return all;
    }
    for (;;) {
        const auto block = (*reader)->next();
        if (!block) all.fault = block.error().what;
        if (!block || block->empty()) break;
        all.records.insert(all.records.end(), block->begin(), block->end());
    }
    all.ending = (*reader)->ending();
    return all;
}

Read read(const std::vector<u8>& bytes) {
    const std::string path = temporary("trace");
    write_file(path, bytes);
    Read all = read(path);
    std::filesystem::remove(path);
    return all;
}

bool same(const Record& a, const Record& b) { return a.kind == b.kind && a.bytes == b.bytes; }

void expect_same(const std::vector<Record>& got, const std::vector<Record>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t n = 0; n < got.size(); ++n) EXPECT_TRUE(same(got[n], wanted[n])) << n;
}

u64 number_at(const std::vector<u8>& bytes, size_t at, unsigned size) {
    u64 value = 0;
    for (unsigned n = 0; n < size; ++n) value |= u64{bytes.at(at + n)} << 8 * n;
    return value;
}

/// A CRC-32 by the definition: one bit at a time.
u32 crc(std::vector<u8> bytes) {
    u32 sum = ~u32{0};
    for (const u8 byte : bytes) {
        sum ^= byte;
        for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xedb8'8320u : 0);
    }
    return ~sum;
}

std::vector<u8> part(const std::vector<u8>& bytes, size_t from, size_t size) {
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

TEST(Trace, HasTheBytesOfItsDescription) {
    const std::vector<u8> file = chosen_trace();
    EXPECT_EQ(std::string(file.begin(), file.begin() + 8), "POSTERNT");
    EXPECT_EQ(file[8], 4u);
    EXPECT_EQ(file[11], 1u);
    EXPECT_EQ(number_at(file, 12, 2), 1u);
    EXPECT_EQ(number_at(file, 14, 2), 48u);
    EXPECT_EQ(number_at(file, 16, 4), 152u);
    EXPECT_EQ(number_at(file, 20, 4), 2u);
    EXPECT_EQ(number_at(file, 24, 8), 1'000'000'000u);
    EXPECT_EQ(number_at(file, 32, 4), 10u);
    EXPECT_EQ(number_at(file, 36, 4), 26u);
    EXPECT_EQ(std::string(file.begin() + 48, file.begin() + 84),
              "postern-v3postern run --kernel a.elf");
    std::vector<u8> header = part(file, 0, 84);
    for (size_t n = 44; n < 48; ++n) header[n] = 0;
    EXPECT_EQ(number_at(file, 44, 4), crc(header));

    const size_t block = 84, records = block + 32;
    EXPECT_EQ(std::string(file.begin() + 84, file.begin() + 88), "BLOK");
    EXPECT_EQ(number_at(file, block + 4, 4), 3u);
    EXPECT_EQ(number_at(file, block + 8, 8), 0u);
    EXPECT_EQ(number_at(file, block + 16, 4), 0u);
    EXPECT_EQ(number_at(file, block + 20, 4), crc(part(file, records, 3 * 152)));
    EXPECT_EQ(number_at(file, block + 28, 4), crc(part(file, block, 28)));
    const size_t second = records + 3 * 152;
    EXPECT_EQ(number_at(file, second + 4, 4), 4u);
    EXPECT_EQ(number_at(file, second + 8, 8), 3u);
    EXPECT_EQ(number_at(file, second + 16, 4), 1u);
    EXPECT_EQ(file.size(), second + 32 + 4 * 152);
}

TEST(Trace, ARecordHasItsFieldsWhereTheDescriptionSays) {
    const std::vector<u8> file = chosen_trace();
    const size_t enclave = 84 + 32 + 2 * 152;
    EXPECT_EQ(number_at(file, enclave, 4), 2u);
    EXPECT_EQ(number_at(file, enclave + 8, 8), 1u);
    EXPECT_EQ(number_at(file, enclave + 16, 8), 0x8000'0000u);
    EXPECT_EQ(number_at(file, enclave + 24, 8), 0x7f00'0000'0000u);
    EXPECT_EQ(number_at(file, enclave + 32, 8), 0x10'0000u);
    EXPECT_EQ(number_at(file, enclave + 40, 8), 1u);
    EXPECT_EQ(file[enclave + 48], 0xa0u);
    EXPECT_EQ(file[enclave + 79], 0xbfu);

    const size_t e = 84 + 32 + 3 * 152 + 32 + 2 * 152;  // the delivery
    EXPECT_EQ(number_at(file, e, 4), 1u);
    EXPECT_EQ(number_at(file, e + 8, 8), 0u);
    EXPECT_EQ(number_at(file, e + 16, 8), 5000u);
    EXPECT_EQ(number_at(file, e + 24, 4), 0x0800'0030u);
    EXPECT_EQ(file[e + 28], 2u);
    EXPECT_EQ(file[e + 29], 5u);
    EXPECT_EQ(file[e + 30], 0u);
    EXPECT_EQ(file[e + 31], 1u);
    EXPECT_EQ(number_at(file, e + 32, 4), 0x10u);
    EXPECT_EQ(number_at(file, e + 40, 8), 0x40'1000u);
    EXPECT_EQ(number_at(file, e + 56, 8), 0x7f00'0000'1000u);
    EXPECT_EQ(number_at(file, e + 64, 8), 3u);
    EXPECT_EQ(number_at(file, e + 72, 8), 0x40'1000u);
    EXPECT_EQ(number_at(file, e + 80, 8), 0x182u);
    EXPECT_EQ(number_at(file, e + 88, 8), 0x7f00'0000'5000u);
    EXPECT_EQ(number_at(file, e + 96, 8), 0x20'0000u);
    EXPECT_EQ(number_at(file, e + 116, 4), 0x8000'00ecu);
    EXPECT_EQ(number_at(file, e + 124, 4), 0x8000'00ecu);
    EXPECT_EQ(number_at(file, e + 132, 4), 1u);
    EXPECT_EQ(number_at(file, e + 136, 8), 0x202u);
    EXPECT_EQ(number_at(file, e + 144, 8), 0x8000'0000u);
}

TEST(Trace, AnExitOfL2HasTheTopBitOfItsCpl) {
    hv::ExitRecord of_l2 = touch_exit();
    of_l2.of_l2 = 1;
    const std::vector<Record> records{Record{touch_exit()}, Record{of_l2}};
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block(records, 0, true));
    const size_t first = 84 + 32;
    EXPECT_EQ(file[first + 30], 3u);
    EXPECT_EQ(file[first + 152 + 30], 0x83u);
    expect_same(read(file).records, records);
}

TEST(Trace, IsReadAsItWasWritten) {
    const std::string path = temporary("written");
    Heard heard;
    {
        auto writer = TraceWriter::open(path, about, heard);
        ASSERT_TRUE(writer.has_value());
        for (const Record& record : chosen_records()) {
            if (record.kind == trace::RecordKind::exit)
                (*writer)->exit(record.exit);
            else
                (*writer)->enclave(record.enclave);
        }
        (*writer)->anomaly(hv::Anomaly::livelock, {});
        (*writer)->stopped({});
    }
    const Read all = read(path);
    EXPECT_EQ(all.fault, "");
    EXPECT_TRUE(all.ending.complete);
    expect_same(all.records, chosen_records());
    EXPECT_EQ(heard.exits.size(), 5u);
    EXPECT_EQ(heard.enclaves.size(), 2u);
    EXPECT_EQ(heard.anomalies, 1);
    EXPECT_EQ(heard.stops, 1);
    const auto reader = TraceReader::open(path);
    EXPECT_EQ((*reader)->about().model, "postern-v3");
    EXPECT_EQ((*reader)->about().command_line, "postern run --kernel a.elf");
    EXPECT_EQ((*reader)->about().processors, 2u);
    std::filesystem::remove(path);
}

TEST(Trace, BeginsWithTheEnclavesThatThereAre) {
    const std::string path = temporary("begun");
    Heard heard;
    const auto table = std::make_unique<hv::EnclaveTable>(heard);
    table->created(Gpa{0x5000}, Gva{0x10'0000}, 0x10'0000, 0x1000);
    table->created(Gpa{0x6000}, Gva{0x20'0000}, 0x10'0000, 0x1000);
    table->created(Gpa{0x5000}, Gva{0x30'0000}, 0x10'0000, 0x1000);  // in the first one's place
    {
        auto writer = TraceWriter::open(path, about, heard);
        ASSERT_TRUE(writer.has_value());
        (*writer)->begin(*table);
    }
    const Read all = read(path);
    ASSERT_EQ(all.records.size(), 2u);
    EXPECT_EQ(all.records[0].enclave.number, 2u);
    EXPECT_EQ(all.records[1].enclave.number, 3u);
    EXPECT_EQ(all.records[1].enclave.secs, 0x5000u);
    std::filesystem::remove(path);
}

TEST(Trace, AFullBlockIsInTheFileAtOnce) {
    const std::string path = temporary("block");
    Heard heard;
    auto writer = TraceWriter::open(path, about, heard);
    ASSERT_TRUE(writer.has_value());
    for (size_t n = 0; n < TraceWriter::block_records; ++n) (*writer)->exit({.sequence = n});
    const Read all = read(path);
    ASSERT_EQ(all.records.size(), TraceWriter::block_records);
    EXPECT_EQ(all.records.back().exit.sequence, TraceWriter::block_records - 1);
    EXPECT_FALSE(all.ending.complete);
    EXPECT_EQ(all.ending.cut_off, 0u);
    std::filesystem::remove(path);
}

TEST(Trace, ARecordIsInTheFileSoonThoughNoOtherComes) {
    const std::string path = temporary("soon");
    Heard heard;
    auto writer = TraceWriter::open(path, about, heard);
    ASSERT_TRUE(writer.has_value());
    (*writer)->exit(cpuid_exit());
    // A hundred times as long as promised: the machine may be busy.
    for (int n = 0; n < 1000 && read(path).records.empty(); ++n)
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    EXPECT_EQ(read(path).records.size(), 1u);
    std::filesystem::remove(path);
}

TEST(Trace, CutAnywhereItLosesOnlyTheBlockThatIsNotWhole) {
    const std::vector<u8> file = chosen_trace();
    const std::vector<Record> records = chosen_records();
    const size_t first = 84, second = first + 32 + 3 * 152;
    for (size_t size = first; size < file.size(); ++size) {
        const Read all = read(part(file, 0, size));
        EXPECT_EQ(all.fault, "") << size;
        EXPECT_FALSE(all.ending.complete) << size;
        const size_t whole = size < second ? first : second;
        EXPECT_EQ(all.ending.cut_off, size - whole) << size;
        EXPECT_EQ(all.records.size(), size < second ? 0u : 3u) << size;
    }
}

TEST(Trace, CutInItsHeaderItIsNone) {
    const std::vector<u8> file = chosen_trace();
    for (size_t size = 0; size < 84; ++size)
        EXPECT_EQ(read(part(file, 0, size)).fault,
                  size < 48 ? "too short for a trace" : "cut off in its header");
}

TEST(Trace, OneWrongByteAnywhereIsFound) {
    const std::vector<u8> file = chosen_trace();
    for (size_t at = 0; at < file.size(); ++at) {
        std::vector<u8> wrong = file;
        wrong[at] ^= 0x10;
        EXPECT_NE(read(wrong).fault, "") << at;
    }
}

TEST(Trace, ABlockThatIsMissingIsFound) {
    const std::vector<Record> records = chosen_records();
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block(std::span{records}.subspan(3), 3, true));
    EXPECT_EQ(read(file).fault, "a block is missing before byte 84");
}

TEST(Trace, NothingFollowsTheLastBlock) {
    std::vector<u8> file = chosen_trace();
    file.push_back(0);
    EXPECT_EQ(read(file).fault, "something follows the last block");
}

TEST(Trace, RecordsThatNoWriterWritesAreRefused) {
    const auto fault_of = [](const Record& record) {
        std::vector<u8> file = trace::encode_header(about);
        append(file, trace::encode_block(std::span{&record, 1}, 0, true));
        return read(file).fault;
    };
    EXPECT_EQ(fault_of(Record{cpuid_exit()}), "");
    hv::ExitRecord e = cpuid_exit();
    e.kind = ExitKind{4};
    EXPECT_EQ(fault_of(Record{e}), "an unknown kind of exit in the block at byte 84");
    e = cpuid_exit();
    e.action = Action{13};
    EXPECT_EQ(fault_of(Record{e}), "an unknown action in the block at byte 84");
    e = cpuid_exit();
    e.vcpu = 64;
    EXPECT_EQ(fault_of(Record{e}), "a processor's number that is too high in the block at byte 84");
    e = cpuid_exit();
    e.cpl = 4;
    EXPECT_EQ(fault_of(Record{e}), "a CPL above 3 in the block at byte 84");
    e = cpuid_exit();
    e.anomalies = 1u << hv::anomaly_count;
    EXPECT_EQ(fault_of(Record{e}), "an unknown anomaly in the block at byte 84");
    Record record{cpuid_exit()};
    record.kind = trace::RecordKind{4};
    EXPECT_EQ(fault_of(record), "a record of an unknown kind in the block at byte 84");
    EXPECT_EQ(fault_of(Record{enclave(0, 0x5000)}),
              "an enclave that cannot be in the block at byte 84");
    using hv::ResetCause;
    EXPECT_EQ(fault_of(Record{hv::ResetRecord{1, 5, 63, ResetCause::triple_fault}}), "");
    for (const hv::ResetRecord& wrong :
         {hv::ResetRecord{0, 5, 0, ResetCause::device},
          hv::ResetRecord{1, 5, 64, ResetCause::device}, hv::ResetRecord{1, 5, 0, ResetCause{2}}})
        EXPECT_EQ(fault_of(Record{wrong}), "a reset that cannot be in the block at byte 84");
}

TEST(Trace, OtherVersionsAndOtherFilesAreRefusedByName) {
    const auto changed = [](size_t at, u8 value) {
        std::vector<u8> file = chosen_trace();
        file[at] = value;
        return read(file).fault;
    };
    EXPECT_EQ(changed(0, 'Q'), "not a trace");
    EXPECT_EQ(changed(8, 1), "a trace of another byte order");
    EXPECT_EQ(changed(12, 2), "a trace of another version");
    EXPECT_EQ(changed(33, 2), "a damaged header");  // a model of 522 bytes
    EXPECT_EQ(changed(48, 'q'), "a damaged header");
}

TEST(Trace, WithoutEndOrRecordsIsStillOne) {
    const Read none = read(trace::encode_header(about));
    EXPECT_EQ(none.fault, "");
    EXPECT_FALSE(none.ending.complete);
    EXPECT_EQ(none.ending.cut_off, 0u);
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block({}, 0, true));
    EXPECT_TRUE(read(file).ending.complete);
}

TEST(Trace, AFileThatCannotBeWrittenIsSaidSo) {
    Heard heard;
    const auto nowhere = TraceWriter::open("/nonexistent/trace", about, heard);
    ASSERT_FALSE(nowhere.has_value());
    EXPECT_EQ(nowhere.error().what, "cannot write: No such file or directory");
    const auto full = TraceWriter::open("/dev/full", about, heard);
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().what, "the trace is not complete: No space left on device");
    EXPECT_FALSE(TraceWriter::open("", about, heard).has_value());
    EXPECT_FALSE(TraceReader::open("/nonexistent/trace").has_value());
    EXPECT_EQ(TraceReader::open("/").error().what, "too short for a trace");
}

}  // namespace
}  // namespace postern::app
