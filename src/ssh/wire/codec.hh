// One declaration of a message's fields gives its encoder and its decoder.
//
//   struct DisconnectMessage {
//     static constexpr MessageNumber kNumber = MessageNumber::kDisconnect;
//     std::uint32_t reason = 0;
//     std::string description;
//     std::string language;
//     MEZ_SSH_FIELDS(reason, description, language)
//   };
//
//   Bytes payload = encode(DisconnectMessage{…});                     // number, then fields
//   MEZ_TRY(auto message, decode<DisconnectMessage>(payload));        // strict: nothing may trail
//
// A struct without kNumber is a part: the payload of a channel type, say, that follows in the Rest of its message.
// Field types: see `read_field` below. BytesView and Rest point into the input: such a struct lives no longer than the
// packet. A struct may have `bool valid() const`; decode refuses what it denies.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "ssh/wire/message_number.hh"
#include "ssh/wire/name_list.hh"
#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

#define MEZ_SSH_FIELDS(...)                       \
  auto fields() { return std::tie(__VA_ARGS__); } \
  auto fields() const { return std::tie(__VA_ARGS__); }

namespace mezite::ssh {

// The bytes up to the end of the message, without a length in front. Last field only.
struct Rest {
  BytesView bytes;
};

// An SSH string that is there only if bytes are left. Last field only.
using OptionalTail = std::optional<BytesView>;

// A multiple-precision integer ≥ 0 as big-endian magnitude.
struct Mpint {
  BytesView magnitude;
};

// uint32 count, then that many elements; each takes bytes, so a count that lies ends with the input.
template <class T>
struct Counted {
  std::vector<T> items;
};

template <class T>
concept FieldStruct = requires(T t) { t.fields(); };
template <class T>
concept Message = FieldStruct<T> && requires {
  { T::kNumber } -> std::convertible_to<MessageNumber>;
};
template <class T>
concept Checked = requires(const T t) {
  { t.valid() } -> std::convertible_to<bool>;
};

namespace detail {

template <class T>
struct IsCounted : std::false_type {};
template <class T>
struct IsCounted<Counted<T>> : std::true_type {};
template <class T>
struct IsArray : std::false_type {};
template <std::size_t N>
struct IsArray<std::array<std::uint8_t, N>> : std::true_type {};

template <class T>
void read_field(Reader& in, T& field);
template <class T>
void write_field(Writer& out, const T& field);

template <FieldStruct T>
void read_fields(Reader& in, T& value) {
  std::apply([&in](auto&... field) { (read_field(in, field), ...); }, value.fields());
  if constexpr (Checked<T>) {
    if (!in.failed() && !value.valid()) in.fail();
  }
}

template <class T>
void read_field(Reader& in, T& field) {
  if constexpr (std::is_same_v<T, bool>) {
    field = in.boolean();
  } else if constexpr (std::is_same_v<T, std::uint8_t>) {
    field = in.byte();
  } else if constexpr (std::is_same_v<T, std::uint32_t>) {
    field = in.u32();
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    field = in.u64();
  } else if constexpr (std::is_enum_v<T>) {  // carried as uint32: reason codes
    static_assert(std::is_same_v<std::underlying_type_t<T>, std::uint32_t>);
    field = static_cast<T>(in.u32());
  } else if constexpr (std::is_same_v<T, std::string>) {
    field = in.text();
  } else if constexpr (std::is_same_v<T, Bytes>) {
    field = to_bytes(in.string());
  } else if constexpr (std::is_same_v<T, BytesView>) {
    field = in.string();
  } else if constexpr (std::is_same_v<T, OptionalTail>) {
    if (in.remaining() > 0) field = in.string();
  } else if constexpr (std::is_same_v<T, Rest>) {
    field.bytes = in.rest();
  } else if constexpr (std::is_same_v<T, Mpint>) {
    field.magnitude = in.mpint();
  } else if constexpr (std::is_same_v<T, NameList>) {
    field = NameList::read(in);
  } else if constexpr (IsArray<T>::value) {  // exactly that many bytes, no length in front
    BytesView bytes = in.take(field.size());
    if (!in.failed()) std::copy(bytes.begin(), bytes.end(), field.begin());
  } else if constexpr (IsCounted<T>::value) {
    std::uint32_t count = in.u32();
    for (std::uint32_t i = 0; i < count && !in.failed(); ++i) read_field(in, field.items.emplace_back());
  } else {
    static_assert(FieldStruct<T>, "not a type of field");
    read_fields(in, field);
  }
}

template <FieldStruct T>
void write_fields(Writer& out, const T& value) {
  std::apply([&out](const auto&... field) { (write_field(out, field), ...); }, value.fields());
}

template <class T>
void write_field(Writer& out, const T& field) {
  if constexpr (std::is_same_v<T, bool>) {
    out.boolean(field);
  } else if constexpr (std::is_same_v<T, std::uint8_t>) {
    out.byte(field);
  } else if constexpr (std::is_same_v<T, std::uint32_t>) {
    out.u32(field);
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    out.u64(field);
  } else if constexpr (std::is_enum_v<T>) {
    out.u32(static_cast<std::uint32_t>(field));
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Bytes> || std::is_same_v<T, BytesView>) {
    out.string(field);
  } else if constexpr (std::is_same_v<T, OptionalTail>) {
    if (field) out.string(*field);
  } else if constexpr (std::is_same_v<T, Rest>) {
    out.raw(field.bytes);
  } else if constexpr (std::is_same_v<T, Mpint>) {
    out.mpint(field.magnitude);
  } else if constexpr (std::is_same_v<T, NameList>) {
    field.write(out);
  } else if constexpr (IsArray<T>::value) {
    out.raw(field);
  } else if constexpr (IsCounted<T>::value) {
    out.u32(static_cast<std::uint32_t>(field.items.size()));
    for (const auto& item : field.items) write_field(out, item);
  } else {
    static_assert(FieldStruct<T>, "not a type of field");
    write_fields(out, field);
  }
}

}  // namespace detail

// Appends the message (its number first) or the part.
template <FieldStruct T>
void encode_to(Bytes& out, const T& value) {
  Writer writer(out);
  if constexpr (Message<T>) writer.byte(static_cast<std::uint8_t>(MessageNumber{T::kNumber}));
  detail::write_fields(writer, value);
}

template <FieldStruct T>
Bytes encode(const T& value) {
  Bytes out;
  encode_to(out, value);
  return out;
}

// kProtocol when the number is another, a field is malformed, or bytes trail. May be called on any input.
template <FieldStruct T>
Result<T> decode(BytesView payload) {
  Reader in(payload);
  std::string_view what = "message part";
  if constexpr (Message<T>) {
    what = message_name(static_cast<std::uint8_t>(MessageNumber{T::kNumber}));
    if (in.byte() != static_cast<std::uint8_t>(MessageNumber{T::kNumber})) {
      return fail(ErrorCode::kProtocol, "expected {}", what);
    }
  }
  Result<T> value{std::in_place};
  detail::read_fields(in, *value);
  if (auto status = in.finish(what); !status) return std::unexpected(std::move(status).error());
  return value;
}

}  // namespace mezite::ssh
