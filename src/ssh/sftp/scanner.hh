// Cuts a stream of SFTP into packets, keeping of each no more than its reader wants: bulk data is passed by, not
// gathered.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/sftp/packet.hh"

namespace mezite::ssh::sftp {

class PacketReader {
 public:
  virtual ~PacketReader() = default;
  // A packet of packet_bytes bytes (type included) begins: how many of its first bytes on_packet() wants.
  virtual std::size_t wanted(std::uint8_t type, std::size_t packet_bytes) = 0;
  // The first bytes, as many as were wanted (or the packet has); valid during the call. An error ends the scan.
  virtual Status on_packet(BytesView first_bytes, std::size_t packet_bytes) = 0;
  // What is behind them, in pieces as they come; valid during the call.
  virtual void on_rest(BytesView piece) { (void)piece; }
};

// Memory: at most kMaxPacketBytes, and no more than what was wanted of one packet.
class PacketScanner {
 public:
  explicit PacketScanner(PacketReader& reader) : reader_(reader) {}

  // Any piece of the stream. kProtocol for a length that is 0 or too large; after an error nothing is read any more.
  Status feed(BytesView bytes);
  bool failed() const { return failed_; }
  // Between two packets.
  bool at_boundary() const { return gathered_.empty() && skip_ == 0; }

 private:
  Status feed_some(BytesView& bytes);

  PacketReader& reader_;
  Bytes gathered_;                // of length, type and first bytes, when they came in pieces
  std::size_t packet_bytes_ = 0;  // of the packet being gathered, 0: its length and type are not all there yet
  std::size_t wanted_ = 0;
  std::size_t skip_ = 0;  // of the packet whose first bytes were handed over
  bool failed_ = false;
};

}  // namespace mezite::ssh::sftp
