// Which handler answers which method and path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/message.hh"

namespace mezite::net::http {

// Answers the request, once, from any thread, at any time; dropped unanswered it answers 500.
class Responder {
 public:
  explicit Responder(std::move_only_function<void(Response)> send) : send_(std::move(send)) {}
  Responder(Responder&& other) noexcept : send_(std::exchange(other.send_, nullptr)) {}
  Responder& operator=(Responder&&) = delete;
  ~Responder();
  void operator()(Response response);

 private:
  std::move_only_function<void(Response)> send_;
};

// Called on the connection's shard; must not block.
using Handler = std::function<void(Request, Responder)>;

class Router {
 public:
  // pattern: "/v1/webapi/nodes", "/invite/{token}" (a segment), "/static/{rest...}" (the rest). Exact segments win.
  void add(std::string method, std::string pattern, Handler handler);
  // Runs for every request before its handler; an answer from it ends the matter (host checks, limits).
  void set_guard(std::function<bool(const Request&, Response&)> guard) { guard_ = std::move(guard); }

  // 404 and 405 (with Allow) for what no route takes; HEAD is served as GET.
  void dispatch(Request request, Responder responder) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  std::vector<Route> routes_;
  std::function<bool(const Request&, Response&)> guard_;
};

}  // namespace mezite::net::http
