#include "net/http/router.hh"

#include <optional>

#include "base/text.hh"

namespace mezite::net::http {
namespace {

bool is_wildcard(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }
bool is_rest(std::string_view segment) { return segment.ends_with("...}"); }

std::string name_of(std::string_view segment) {
  return std::string(segment.substr(1, segment.size() - (is_rest(segment) ? 5 : 2)));
}

using PathValues = std::vector<std::pair<std::string, std::string>>;

// How many segments were taken by name rather than exactly, or nothing when the path is another.
std::optional<std::size_t> match(const std::vector<std::string>& pattern, const std::vector<std::string_view>& path,
                                 PathValues& values) {
  std::size_t wild = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_wildcard(pattern[i]) && is_rest(pattern[i])) {
      std::string rest;
      for (std::size_t j = i; j < path.size(); ++j) rest.append(j > i ? "/" : "").append(path[j]);
      values.emplace_back(name_of(pattern[i]), std::move(rest));
      return wild + 1000;
    }
    if (i >= path.size()) return std::nullopt;
    if (is_wildcard(pattern[i])) {
      if (path[i].empty()) return std::nullopt;
      values.emplace_back(name_of(pattern[i]), path[i]);
      ++wild;
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return pattern.size() == path.size() ? std::optional(wild) : std::nullopt;
}

}  // namespace

Responder::~Responder() {
  if (send_) send_(Response::error({ErrorCode::kInternal, "the request was not answered"}));
}

void Responder::operator()(Response response) {
  if (send_) std::exchange(send_, nullptr)(std::move(response));
}

void Router::add(std::string method, std::string pattern, Handler handler) {
  Route route{std::move(method), {}, std::move(handler)};
  for (std::string_view segment : split(std::string_view(pattern).substr(1), '/')) route.segments.emplace_back(segment);
  routes_.push_back(std::move(route));
}

void Router::dispatch(Request request, Responder responder) const {
  if (guard_) {
    Response early;
    if (!guard_(request, early)) return responder(std::move(early));
  }
  std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  auto path = split(std::string_view(request.path).substr(1), '/');
  const Route* best = nullptr;
  std::size_t best_wild = 0;
  PathValues best_values;
  std::string allowed;
  for (const Route& route : routes_) {
    PathValues values;
    auto wild = match(route.segments, path, values);
    if (!wild) continue;
    if (route.method != method) {
      if (allowed.find(route.method) == std::string::npos) allowed += (allowed.empty() ? "" : ", ") + route.method;
      continue;
    }
    if (best == nullptr || *wild < best_wild) {
      best = &route;
      best_wild = *wild;
      best_values = std::move(values);
    }
  }
  if (best == nullptr) {
    Response refusal =
        Response::error({ErrorCode::kNotFound,
                         allowed.empty() ? "there is nothing here" : "this address takes other methods: " + allowed});
    if (!allowed.empty()) {
      refusal.status = 405;
      refusal.headers.set("Allow", allowed);
    }
    return responder(std::move(refusal));
  }
  request.path_values = std::move(best_values);
  best->handler(std::move(request), std::move(responder));
}

}  // namespace mezite::net::http
