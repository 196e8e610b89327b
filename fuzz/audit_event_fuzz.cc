// Audit events as agents send them.
#include <cstdlib>

#include "audit/event.hh"
#include "base/bytes.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezite;
  const auto event = audit::event_from_json(as_text(BytesView(data, size)));
  if (!event) return 0;
  // What is taken is stored in the canonical form, and that is taken again and stays as it is.
  const std::string json = audit::to_canonical_json(*event);
  const auto again = audit::event_from_json(json);
  if (!again || audit::to_canonical_json(*again) != json) std::abort();
  return 0;
}
