#include "ssh/keys/certificate.hh"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.hh"
#include "crypto/random.hh"

namespace mezite::ssh {
namespace {

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::kInvalidArgument, "malformed certificate: {}", what);
}

std::optional<KeyType> certificate_type(std::string_view key_name) {
  for (const auto& algorithm : public_key_algorithms()) {
    if (algorithm.form == KeyForm::kCertificate && algorithm.key_name == key_name) return algorithm.type;
  }
  return std::nullopt;
}

Result<std::vector<std::string>> read_principals(BytesView bytes) {
  std::vector<std::string> principals;
  Reader in(bytes);
  while (in.remaining() > 0) {
    if (principals.size() == Certificate::kMaxPrincipals) return malformed("too many principals");
    const std::string_view name = in.text();
    if (in.failed()) return malformed("principals");
    principals.emplace_back(name);
  }
  return principals;
}

// PROTOCOL.certkeys: "lexically ordered", each name once.
Result<CertificateOptions> read_options(BytesView bytes, std::string_view what) {
  CertificateOptions options;
  Reader in(bytes);
  while (in.remaining() > 0) {
    if (options.size() == Certificate::kMaxOptions) return malformed(fmt::format("too many {}", what));
    const std::string_view name = in.text();
    const BytesView value = in.string();
    if (in.failed() || name.empty()) return malformed(what);
    if (!options.empty() && name <= options.back().first) return malformed(fmt::format("{} out of order", what));
    options.emplace_back(name, to_bytes(value));
  }
  return options;
}

void write_options(Writer& out, const CertificateOptions& options) {
  Bytes bytes;
  Writer writer(bytes);
  for (const auto& [name, value] : options) writer.string(name).string(value);
  out.string(bytes);
}

Status sort_options(CertificateOptions& options, std::string_view what) {
  std::ranges::sort(options, {}, &CertificateOptions::value_type::first);
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (options[i].first.empty() || (i > 0 && options[i].first == options[i - 1].first)) {
      return fail(ErrorCode::kInvalidArgument, "{} '{}' is empty or there twice", what, printable(options[i].first));
    }
  }
  return {};
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

const Bytes* find_option(const CertificateOptions& options, std::string_view name) {
  for (const auto& [option, value] : options) {
    if (option == name) return &value;
  }
  return nullptr;
}

}  // namespace

Result<std::string> option_text(BytesView value) {
  Reader in(value);
  const std::string_view text = in.text();
  if (!in.at_end()) return malformed("option value");
  return std::string(text);
}

Bytes option_value(std::string_view text) {
  Bytes value;
  Writer(value).string(text);
  return value;
}

Result<Certificate> Certificate::from_wire(BytesView wire) {
  if (wire.size() > kMaxWireBytes) return malformed("too long");
  Reader in(wire);
  const std::string_view name = in.text();
  if (in.failed()) return malformed("key type");
  const auto key_type = certificate_type(name);
  if (!key_type) {
    return fail(ErrorCode::kInvalidArgument, "unsupported certificate type '{}'", printable(name.substr(0, 64)));
  }
  in.string();  // nonce
  MEZ_TRY(auto public_key, PublicKey::read_fields(*key_type, in));
  const std::uint64_t serial = in.u64();
  const std::uint32_t type = in.u32();
  const std::string_view key_id = in.text();
  const BytesView principals_bytes = in.string();
  const std::uint64_t valid_after = in.u64();
  const std::uint64_t valid_before = in.u64();
  const BytesView critical_bytes = in.string();
  const BytesView extension_bytes = in.string();
  in.string();  // reserved
  const BytesView signature_key_wire = in.string();
  const std::size_t signed_size = wire.size() - in.remaining();
  const BytesView signature = in.string();
  if (in.failed()) return malformed("cut short");
  if (!in.at_end()) return malformed("trailing bytes");
  if (type != static_cast<std::uint32_t>(CertificateType::kUser) &&
      type != static_cast<std::uint32_t>(CertificateType::kHost)) {
    return malformed("neither a user nor a host certificate");
  }
  MEZ_TRY(auto principals, read_principals(principals_bytes));
  MEZ_TRY(auto critical_options, read_options(critical_bytes, "critical options"));
  MEZ_TRY(auto extensions, read_options(extension_bytes, "extensions"));
  // PublicKey takes plain keys only, so a certificate cannot stand in the CA's place (Teleport CVE-2025-49825).
  auto signature_key = PublicKey::from_wire(signature_key_wire);
  if (!signature_key) return wrap(std::move(signature_key).error(), "malformed certificate: signature key");
  return Certificate(std::make_shared<const Data>(Data{
      .wire = to_bytes(wire),
      .signed_size = signed_size,
      .serial = serial,
      .type = static_cast<CertificateType>(type),
      .key_id = std::string(key_id),
      .valid_principals = std::move(principals),
      .valid_after = valid_after,
      .valid_before = valid_before,
      .critical_options = std::move(critical_options),
      .extensions = std::move(extensions),
      .public_key = std::move(public_key),
      .signature_key = std::move(*signature_key),
      .signature = to_bytes(signature),
  }));
}

Result<Certificate> Certificate::from_text(std::string_view line) {
  line = trim(line);
  const std::size_t name_end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view name = line.substr(0, name_end);
  std::string_view base64 = trim(line.substr(name_end));
  base64 = base64.substr(0, std::min(base64.find_first_of(" \t"), base64.size()));
  if (base64.size() > 2 * kMaxWireBytes) return malformed("too long");
  const auto wire = from_base64(base64);
  if (!wire || wire->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "not a certificate line; expected e.g. 'ssh-ed25519-cert-v01@openssh.com AAAA…'");
  }
  MEZ_TRY(auto certificate, from_wire(*wire));
  if (certificate.name() != name) return malformed("line and content name different types");
  return certificate;
}

std::string Certificate::to_text(std::string_view comment) const {
  std::string text = fmt::format("{} {}", name(), to_base64(wire()));
  if (!comment.empty()) text.append(" ").append(comment);
  return text;
}

const Bytes* Certificate::find_critical_option(std::string_view option) const {
  return find_option(data_->critical_options, option);
}
const Bytes* Certificate::find_extension(std::string_view extension) const {
  return find_option(data_->extensions, extension);
}

AuthenticatorRules Certificate::authenticator_rules() const {
  AuthenticatorRules rules;
  if (find_extension(kNoTouchRequired) != nullptr) rules.presence = UserPresence::kNotRequired;
  if (find_critical_option(kVerifyRequired) != nullptr) rules.verification = UserVerification::kRequired;
  return rules;
}

Result<PublicCredential> parse_public_credential(BytesView wire) {
  Reader in(wire);
  const std::string_view name = in.text();
  if (!in.failed() && certificate_type(name)) {
    MEZ_TRY(auto certificate, Certificate::from_wire(wire));
    return PublicCredential(std::move(certificate));
  }
  MEZ_TRY(auto key, PublicKey::from_wire(wire));
  return PublicCredential(std::move(key));
}

const PublicKey& plain_key(const PublicCredential& credential) {
  if (const auto* certificate = std::get_if<Certificate>(&credential)) return certificate->public_key();
  return std::get<PublicKey>(credential);
}

CertificateOptions default_user_extensions() {
  return {{"permit-X11-forwarding", {}},
          {"permit-agent-forwarding", {}},
          {"permit-port-forwarding", {}},
          {"permit-pty", {}},
          {"permit-user-rc", {}}};
}

Status check_principal(std::string_view principal) {
  if (principal.empty()) return fail(ErrorCode::kInvalidArgument, "a principal must not be empty");
  if (principal.size() > 255) return fail(ErrorCode::kInvalidArgument, "a principal has at most 255 bytes");
  // printable() changes what would do harm on a terminal; such a name has no business in a certificate either.
  if (!is_valid_utf8(principal) || has_control_character(principal) || printable(principal) != principal ||
      principal.find_first_of(", *?") != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "principal '{}' has a comma, white space, wildcard or control character in it", printable(principal));
  }
  return {};
}

Result<Certificate> sign_certificate(CertificateRequest request, const Signer& ca) {
  if (request.principals.empty()) return fail(ErrorCode::kInvalidArgument, "a certificate needs a principal");
  if (request.principals.size() > Certificate::kMaxPrincipals) {
    return fail(ErrorCode::kInvalidArgument, "a certificate has at most {} principals", Certificate::kMaxPrincipals);
  }
  for (const auto& principal : request.principals) MEZ_CHECK(check_principal(principal));
  if (!is_valid_utf8(request.key_id) || has_control_character(request.key_id) || request.key_id.size() > 1024) {
    return fail(ErrorCode::kInvalidArgument, "key id '{}' is not fit for a certificate", printable(request.key_id));
  }
  const std::int64_t after = to_unix_seconds(request.valid_after);
  const std::int64_t before = to_unix_seconds(request.valid_before);
  if (after < 0 || before <= after) {
    return fail(ErrorCode::kInvalidArgument, "a certificate must end after it starts");
  }
  MEZ_CHECK(sort_options(request.critical_options, "critical option"));
  MEZ_CHECK(sort_options(request.extensions, "extension"));

  Bytes wire;
  Writer out(wire);
  out.string(certificate_key_name(request.public_key.type())).string(crypto::random_bytes(32));
  request.public_key.write_fields(out);
  out.u64(crypto::random_u64()).u32(static_cast<std::uint32_t>(request.type)).string(request.key_id);
  Bytes principals;
  Writer principals_out(principals);
  for (const auto& principal : request.principals) principals_out.string(principal);
  out.string(principals).u64(static_cast<std::uint64_t>(after)).u64(static_cast<std::uint64_t>(before));
  write_options(out, request.critical_options);
  write_options(out, request.extensions);
  out.string(BytesView{}).string(ca.public_key().wire());
  MEZ_TRY(const Bytes signature, ca.sign(ca.public_key().signature_algorithms().front(), wire));
  out.string(signature);
  return Certificate::from_wire(wire);  // what we issue is what our own parser takes
}

}  // namespace mezite::ssh
