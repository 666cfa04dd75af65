// SPDX-License-Identifier: Apache-2.0
// The registers of the serial port. Numbers are from the PC16550D data sheet.
#include "platform/device/serial.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"

namespace postern::platform {
namespace {

class SerialPort : public ::testing::Test {
protected:
    u8 in(u16 offset) { return static_cast<u8>(serial.port_read(offset, 1)); }
    void out(u16 offset, u8 value) { serial.port_write(offset, 1, value); }

    StringSink sink;
    Serial serial{sink};
};

TEST_F(SerialPort, BytesWrittenToThrReachTheSink) {
    out(0, 'o');
    out(0, 'k');
    EXPECT_EQ(sink.text(), "ok");
}

TEST_F(SerialPort, TheTransmitterIsAlwaysEmpty) {
    EXPECT_EQ(in(5), 0x60);
    out(0, 'x');
    EXPECT_EQ(in(5), 0x60);
}

TEST_F(SerialPort, WithDlabTheDivisorIsSetAndNothingIsSent) {
    out(3, 0x83);
    out(0, 0x0c);
    out(1, 0x01);
    EXPECT_EQ(in(0), 0x0c);
    EXPECT_EQ(in(1), 0x01);
    EXPECT_EQ(in(3), 0x83);
    out(3, 0x03);
    EXPECT_EQ(sink.text(), "");
    EXPECT_EQ(in(1), 0x00);  // IER again
}

TEST_F(SerialPort, ReceivedBytesComeInOrderAndSetDataReady) {
    out(2, 0x01);
    serial.receive('a');
    serial.receive('b');
    EXPECT_EQ(in(5), 0x61);
    EXPECT_EQ(in(0), 'a');
    EXPECT_EQ(in(0), 'b');
    EXPECT_EQ(in(5), 0x60);
    EXPECT_EQ(in(0), 0);
}

TEST_F(SerialPort, TheSeventeenthByteIsAnOverrunReportedOnce) {
    out(2, 0x01);
    for (int i = 0; i < 17; ++i) serial.receive('x');
    EXPECT_EQ(in(5), 0x63);
    EXPECT_EQ(in(5), 0x61);
}

TEST_F(SerialPort, WithoutFifosOneByteFits) {
    serial.receive('a');
    serial.receive('b');
    EXPECT_EQ(in(5), 0x63);
    EXPECT_EQ(in(0), 'a');
    EXPECT_EQ(in(5), 0x60);
}

TEST_F(SerialPort, FcrClearsTheReceiveFifoAndIirSaysThatThereAreFifos) {
    out(2, 0x01);
    serial.receive('a');
    out(2, 0x03);
    EXPECT_EQ(in(5), 0x60);
    EXPECT_EQ(in(2), 0xc1);
    out(2, 0x00);
    EXPECT_EQ(in(2), 0x01);
}

TEST_F(SerialPort, ReceivedDataInterruptsAtTheTriggerLevel) {
    out(2, 0x41);  // FIFOs on, trigger at 4
    out(1, 0x01);
    for (int i = 0; i < 3; ++i) serial.receive('x');
    EXPECT_FALSE(serial.interrupt());
    serial.receive('x');
    EXPECT_TRUE(serial.interrupt());
    EXPECT_EQ(in(2), 0xc4);
    in(0);
    EXPECT_FALSE(serial.interrupt());
}

TEST_F(SerialPort, TransmitterInterruptRisesWhenEnabledAndFallsWhenRead) {
    EXPECT_FALSE(serial.interrupt());
    out(1, 0x02);
    EXPECT_TRUE(serial.interrupt());
    EXPECT_EQ(in(2), 0x02);
    EXPECT_FALSE(serial.interrupt());
    out(0, 'x');
    EXPECT_TRUE(serial.interrupt());
}

TEST_F(SerialPort, LineErrorsComeBeforeDataAndTransmitter) {
    out(1, 0x07);
    serial.receive('a');
    serial.receive('b');
    EXPECT_EQ(in(2), 0x06);
    in(5);
    EXPECT_EQ(in(2), 0x04);
    in(0);
    EXPECT_EQ(in(2), 0x02);
    EXPECT_EQ(in(2), 0x01);
}

TEST_F(SerialPort, LoopbackReturnsBytesAndModemLines) {
    out(4, 0x1f);
    out(0, 'z');
    EXPECT_EQ(sink.text(), "");
    EXPECT_EQ(in(0), 'z');
    EXPECT_EQ(in(6), 0xf0);
    out(4, 0x11);  // DTR comes back as DSR
    EXPECT_EQ(in(6), 0x20);
    out(4, 0x12);  // RTS comes back as CTS
    EXPECT_EQ(in(6), 0x10);
    out(4, 0x03);
    EXPECT_EQ(in(6), 0xb0);
}

TEST_F(SerialPort, ScratchKeepsAByteAndStatusRegistersAreReadOnly) {
    out(7, 0xa5);
    out(5, 0xff);
    out(6, 0xff);
    EXPECT_EQ(in(7), 0xa5);
    EXPECT_EQ(in(5), 0x60);
    EXPECT_EQ(in(6), 0xb0);
}

TEST_F(SerialPort, ARestoredPortGoesOnWhereTheSavedOneStood) {
    out(2, 0x01);
    serial.receive('q');
    out(7, 0x77);
    Serial other{sink};
    other.restore(serial.state());
    EXPECT_EQ(other.port_read(7, 1), 0x77u);
    EXPECT_EQ(other.port_read(0, 1), u32{'q'});
}

/// Connected as in a PC: to a clock and to request 4.
class WiredSerialPort : public SerialPort {
protected:
    WiredSerialPort() {
        out(3, 0x03);  // 8 bits, no parity, one stop bit, at 115200 a second
        out(2, 0xc1);  // FIFOs on, trigger at 14
        out(4, 0x0b);  // OUT2: the interrupt reaches the wire
    }
    u8 in(u16 offset) { return static_cast<u8>(port.port_read(offset, 1)); }
    void out(u16 offset, u8 value) { port.port_write(offset, 1, value); }

    TestClock clock;
    TestLines lines;
    Serial port{sink, {&clock, &lines}};
};

TEST_F(WiredSerialPort, TheTransmitterPulsesItsLineForEveryByte) {
    out(1, 0x02);
    EXPECT_TRUE(lines.levels[4]);
    EXPECT_EQ(in(2), 0xc2);
    EXPECT_FALSE(lines.levels[4]);
    out(0, 'x');
    EXPECT_TRUE(lines.levels[4]);
    EXPECT_EQ(lines.rises[4], 2u);
}

TEST_F(WiredSerialPort, WithoutOut2TheLineIsStill) {
    out(4, 0x03);
    out(1, 0x02);
    EXPECT_TRUE(port.interrupt());
    EXPECT_FALSE(lines.levels[4]);
}

TEST_F(WiredSerialPort, BytesBelowTheTriggerTimeOutAfterFourCharacters) {
    out(1, 0x01);
    port.receive('a');
    port.receive('b');
    EXPECT_FALSE(lines.levels[4]);
    EXPECT_EQ(port.next_event(), 347'220u);  // 40 bits, less what each character is rounded
    pass_to(clock, port, 347'222);
    EXPECT_TRUE(lines.levels[4]);
    EXPECT_EQ(in(2), 0xcc);
    EXPECT_EQ(in(0), 'a');
    EXPECT_FALSE(lines.levels[4]);  // and the time begins anew
    pass_to(clock, port, 2 * 347'222);
    EXPECT_TRUE(lines.levels[4]);
    EXPECT_EQ(in(0), 'b');
    EXPECT_EQ(port.next_event(), ~u64{0});
}

}  // namespace
}  // namespace postern::platform
