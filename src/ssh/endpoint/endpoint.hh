// One end of an SSH connection without its socket: bytes in, bytes out, deadlines. An I/O driver needs only this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/bytes.hh"
#include "base/clock.hh"

namespace mezite::ssh {

// How a driver works: write pending_output() to the socket and consume_output(n); while read_space() is not empty
// read(2) into it and commit_read(n); at next_deadline() call on_time(); after each of these look again. When
// wants_close(): flush pending_output() (briefly), close the socket, destroy the endpoint. One thread for each
// endpoint.
//
// Any call may run handlers, and a handler may destroy the endpoint: after a call into an endpoint that others can
// destroy, the driver must not touch it before it knows that it is there still. The endpoint itself survives that.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // Where the next bytes of the peer go. Empty: read nothing now (the peer is to be slowed down, or wants_close());
  // look again after the wakeup, consume_output() or on_time().
  virtual std::span<std::uint8_t> read_space() = 0;
  // size bytes, at most read_space().size(), have been written there.
  virtual void commit_read(std::size_t size) = 0;
  // The peer closed its direction, or the stream failed; nothing more will be read or written.
  virtual void on_stream_end(std::optional<Error> error = std::nullopt) = 0;

  // What waits to be sent, as one run of bytes; valid until the next call. Empty: nothing.
  virtual BytesView pending_output() const = 0;
  virtual void consume_output(std::size_t size) = 0;

  // All that waits to be sent, messages that wait for a key exchange included; for backpressure.
  virtual std::size_t output_size() const = 0;

  // The connection is over; error() says how it ended (null while it lasts).
  virtual bool wants_close() const = 0;
  virtual const Error* error() const = 0;

  virtual std::optional<SteadyTime> next_deadline() const = 0;
  virtual void on_time() = 0;

  // Called when output appeared, reading may go on, a deadline moved or the end was reached outside of the calls above
  // (a handler answered later, say). It may be called from inside of any function of a channel or responder; do not
  // call back into the endpoint from it: schedule a look. Called at most once until the driver has called
  // pending_output() again.
  virtual void set_wakeup(std::move_only_function<void()> wakeup) = 0;
};

}  // namespace mezite::ssh
