#include "ssh/sftp/client.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "ssh/sftp/download.hh"
#include "ssh/sftp/testing.hh"
#include "ssh/sftp/upload.hh"

namespace mezite::ssh::sftp {
namespace {

using testing::HasSubstr;

Bytes random_bytes(std::size_t size) {
  std::mt19937_64 random(size + 1);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(random());
  return out;
}

// Against OpenSSH's own server.
class SftpServerTest : public testing::Test {
 protected:
  SftpServerTest() {
    std::string name = (std::filesystem::temp_directory_path() / "mezite-sftp-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    server_.emplace(folder_);
    std::optional<Status> ready;
    client_.start([&](Status status) { ready = std::move(status); });
    server_->run(client_, [&] { return ready.has_value(); });
    EXPECT_TRUE(*ready);
  }
  ~SftpServerTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  template <class T>
  Result<T> ask(const Request& request, Result<T> (*meaning)(const Result<Reply>&)) {
    std::optional<Result<T>> answer;
    client_.request(request, [&](Result<Reply> reply) { answer = meaning(reply); });
    server_->run(client_, [&] { return answer.has_value(); });
    return std::move(*answer);
  }
  Status ask(const Request& request) { return ask<void>(request, status_of); }

  Result<std::uint64_t> put(const std::string& path, const Bytes& bytes, UploadOptions options = {}) {
    MemorySource source;
    source.bytes = bytes;
    std::optional<Result<std::uint64_t>> result;
    upload(client_, path, source, std::move(options), [&](Result<std::uint64_t> done) { result = std::move(done); });
    server_->run(client_, [&] { return result.has_value(); });
    return *result;
  }
  Result<Downloaded> get(const std::string& path, MemorySink& sink, DownloadOptions options = {}) {
    std::optional<Result<Downloaded>> result;
    download(client_, path, sink, std::move(options), [&](Result<Downloaded> done) { result = std::move(done); });
    server_->run(client_, [&] { return result.has_value(); });
    return *result;
  }
  Bytes content(const std::string& name) {
    std::ifstream file(folder_ / name, std::ios::binary);
    return to_bytes(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  std::filesystem::path folder_;
  Client client_;
  std::optional<ServerProcess> server_;
};

TEST_F(SftpServerTest, HandshakeTakesTheLimits) {
  EXPECT_TRUE(client_.server().has("posix-rename@openssh.com"));
  EXPECT_EQ(client_.server().max_read_bytes, 261120u);
  EXPECT_EQ(client_.server().max_write_bytes, 261120u);
  EXPECT_GT(client_.server().max_open_files, 4u);
}

TEST_F(SftpServerTest, FilesOfEverySizeGoAndComeBack) {
  for (const std::size_t size : {0u, 1u, 32767u, 32768u, 261119u, 261120u, 261121u, 3u << 20, 20'000'003u}) {
    const Bytes bytes = random_bytes(size);
    std::uint64_t told = 0;
    UploadOptions up;
    up.permissions = 0640;
    up.progress = [&](std::uint64_t more) { told += more; };
    const auto sent = put("file", bytes, std::move(up));
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(*sent, size);
    EXPECT_EQ(told, size);
    EXPECT_EQ(content("file"), bytes);
    MemorySink sink;
    const auto got = get("file", sink);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->bytes, size);
    EXPECT_EQ(sink.bytes, bytes);
    EXPECT_TRUE(sink.in_order);
    EXPECT_EQ(*got->attributes.size, size);
  }
  EXPECT_LE(client_.in_flight(), 1u);  // the last close, whose answer nobody waits for
}

TEST_F(SftpServerTest, SixtyFourRequestsAreInFlight) {
  ASSERT_TRUE(put("file", random_bytes(1 << 20)));
  MemorySink sink;
  std::optional<Result<Downloaded>> result;
  std::size_t most = 0;
  DownloadOptions options;
  options.limits.request_bytes = 4096;
  options.progress = [&](std::uint64_t) { most = std::max(most, client_.in_flight()); };
  download(client_, "file", sink, std::move(options), [&](Result<Downloaded> done) { result = std::move(done); });
  server_->run(client_, [&] { return result.has_value(); });
  ASSERT_TRUE(*result);
  EXPECT_EQ(sink.bytes, random_bytes(1 << 20));
  EXPECT_GE(most, 63u);
  EXPECT_LE(most, 66u);
}

TEST_F(SftpServerTest, TransfersGoOnWhereTheyStopped) {
  const Bytes bytes = random_bytes(2'000'000);
  ASSERT_TRUE(put("half", Bytes(bytes.begin(), bytes.begin() + 700'001)));
  UploadOptions rest;
  rest.from = 700'001;
  EXPECT_EQ(*put("half", bytes, std::move(rest)), 1'299'999u);
  EXPECT_EQ(content("half"), bytes);

  MemorySink sink;
  sink.bytes.assign(bytes.begin(), bytes.begin() + 123'456);
  DownloadOptions options;
  options.from = 123'456;
  EXPECT_EQ(get("half", sink, std::move(options))->bytes, bytes.size() - 123'456);
  EXPECT_EQ(sink.bytes, bytes);

  DownloadOptions beyond;
  beyond.from = bytes.size() + 1;
  EXPECT_EQ(get("half", sink, std::move(beyond)).error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(SftpServerTest, TimesAndPermissionsAreSetAtTheEnd) {
  UploadOptions options;
  options.finally.permissions = 0604;
  options.finally.times = Attributes::Times{1'000'000'000, 1'100'000'000};
  ASSERT_TRUE(put("old", random_bytes(10), std::move(options)));
  const auto attributes = ask<Attributes>(Stat{"old"}, attributes_of);
  EXPECT_EQ(*attributes->permissions, 0100604u);
  EXPECT_EQ(attributes->times->modification, 1'100'000'000u);
}

TEST_F(SftpServerTest, FilesThatSayNothingOfTheirSizeAreReadToTheEnd) {
  MemorySink sink;
  const auto got = get("/proc/self/status", sink);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(to_text(sink.bytes), HasSubstr("Name:\tsftp-server"));
}

TEST_F(SftpServerTest, ErrorsSayWhatTheServerSays) {
  MemorySink sink;
  EXPECT_EQ(get("nowhere", sink).error(), (Error{ErrorCode::kNotFound, "no such file"}));
  EXPECT_EQ(get(folder_.string(), sink).error().message, "not a regular file");
  EXPECT_EQ(put("no/such/folder", {}).error(), (Error{ErrorCode::kNotFound, "there is no such folder"}));
  EXPECT_EQ(ask(Remove{"nowhere"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ask(UnknownExtended{"what@nobody", {}}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(ask<Attributes>(Remove{"nowhere"}, attributes_of).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(client_.error());
}

TEST_F(SftpServerTest, ExtensionsOfOpenSsh) {
  ASSERT_TRUE(put("a", random_bytes(100)));
  ASSERT_TRUE(put("b", random_bytes(5)));
  EXPECT_TRUE(ask(PosixRename{"a", "b"}));  // over one that is there
  EXPECT_EQ(content("b").size(), 100u);
  EXPECT_TRUE(ask(Hardlink{"b", "c"}));
  EXPECT_TRUE(ask(Symlink{"b", "l"}));
  EXPECT_EQ(ask<std::vector<NameEntry>>(Readlink{"l"}, [](const Result<Reply>& reply) { return names_of(reply); })
                ->at(0)
                .name,
            "b");
  Attributes times;
  times.times = Attributes::Times{5, 6};
  EXPECT_TRUE(ask(Lsetstat{"l", times}));
  const auto home =
      ask<std::vector<NameEntry>>(ExpandPath{"~"}, [](const Result<Reply>& reply) { return names_of(reply); });
  EXPECT_EQ(home->at(0).name[0], '/');
  std::optional<Result<FileSystem>> disk;
  client_.request(Statvfs{"."},
                  [&](Result<Reply> reply) { disk = decode_file_system(std::get<ExtendedReply>(*reply).data.bytes); });
  server_->run(client_, [&] { return disk.has_value(); });
  ASSERT_TRUE(*disk);
  EXPECT_GT((*disk)->blocks, 0u);
}

TEST_F(SftpServerTest, AServerThatDiesFailsWhatWaits) {
  ASSERT_TRUE(put("file", random_bytes(1 << 20)));
  MemorySink sink;
  std::optional<Result<Downloaded>> result;
  download(client_, "file", sink, {}, [&](Result<Downloaded> done) { result = std::move(done); });
  server_->stop();
  client_.end({ErrorCode::kUnavailable, "gone"});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->error().message, "gone");
  EXPECT_EQ(get("file", sink).error().message, "gone");
  EXPECT_EQ(put("file", {}).error().message, "gone");
}

// ---- a server that is written down

class SftpClientTest : public testing::Test {
 protected:
  SftpClientTest() {
    client_.start([this](Status status) { ready_ = std::move(status); });
    take_output();
  }
  void reply(std::uint32_t id, const Reply& reply) {
    Bytes wire;
    encode_reply(wire, id, reply);
    client_.feed(wire);
  }
  // The requests that wait to be sent.
  std::vector<RequestPacket> take_output() {
    sent_.clear();
    while (client_.output_size() > 0) {
      const BytesView bytes = client_.pending_output();
      sent_.insert(sent_.end(), bytes.begin(), bytes.end());
      client_.consume_output(bytes.size());
    }
    std::vector<RequestPacket> out;
    for (BytesView rest = sent_; !rest.empty();) {
      const std::size_t size = std::size_t{rest[1]} << 16 | std::size_t{rest[2]} << 8 | rest[3];
      out.push_back(*decode_request(rest.subspan(4, size)));
      rest = rest.subspan(4 + size);
    }
    return out;
  }
  void open(std::uint64_t size, MemorySink& sink) {
    reply(0, VersionReply{});
    download(client_, "f", sink, {}, [this](Result<Downloaded> done) { downloaded_ = std::move(done); });
    reply(take_output().at(0).id, HandleReply{as_bytes("h")});
    Attributes attributes;
    attributes.size = size;
    attributes.permissions = 0100644;
    reply(take_output().at(0).id, AttrsReply{attributes});
  }

  Client client_;
  std::optional<Status> ready_;
  std::optional<Result<Downloaded>> downloaded_;
  Bytes sent_;
};

TEST_F(SftpClientTest, AnotherVersionIsRefused) {
  reply(0, VersionReply{.version = 6, .extensions = {}});
  ASSERT_TRUE(ready_);
  EXPECT_THAT(ready_->error().message, HasSubstr("version 6"));
}

// The classic: a shell's start file that prints something.
TEST_F(SftpClientTest, ChatterBeforeTheProtocolEndsIt) {
  client_.feed(as_bytes("Welcome to web-01!\n"));
  ASSERT_TRUE(ready_);
  EXPECT_EQ(ready_->error().code, ErrorCode::kProtocol);
}

TEST_F(SftpClientTest, AnswersToNothingEndTheClient) {
  reply(0, VersionReply{});
  ASSERT_TRUE(ready_ && *ready_);
  reply(4711, StatusReply{});
  ASSERT_TRUE(client_.error());
  EXPECT_THAT(client_.error()->message, HasSubstr("not asked"));
}

TEST_F(SftpClientTest, AnswersMayComeInAnyOrder) {
  MemorySink sink;
  open(100'000, sink);
  const Bytes bytes = random_bytes(100'000);
  auto reads = take_output();
  ASSERT_EQ(reads.size(), 5u);  // 32768 each without limits@openssh.com, and one behind the end
  for (auto packet = reads.rbegin(); packet != reads.rend(); ++packet) {
    const auto& read = std::get<Read>(packet->request);
    if (read.offset >= bytes.size()) {
      reply(packet->id, StatusReply{.code = StatusCode::kEof});
    } else {
      reply(packet->id, DataReply{BytesView(bytes).subspan(read.offset, read.length)});
    }
  }
  ASSERT_TRUE(downloaded_ && *downloaded_);
  EXPECT_EQ(sink.bytes, bytes);
}

TEST_F(SftpClientTest, ShortAnswersAreAskedForAgain) {
  MemorySink sink;
  open(40'000, sink);
  const Bytes bytes = random_bytes(40'000);
  for (int round = 0; round < 40 && !downloaded_; ++round) {
    for (const auto& packet : take_output()) {
      const auto* read = std::get_if<Read>(&packet.request);
      if (read == nullptr) continue;
      if (read->offset >= bytes.size()) {
        reply(packet.id, StatusReply{.code = StatusCode::kEof});
      } else {
        reply(packet.id, DataReply{BytesView(bytes).subspan(read->offset, std::min(read->length, 3000u))});
      }
    }
  }
  ASSERT_TRUE(downloaded_ && *downloaded_);
  EXPECT_EQ(sink.bytes, bytes);
}

TEST_F(SftpClientTest, AFileThatShrinksIsAnError) {
  MemorySink sink;
  open(100'000, sink);
  for (const auto& packet : take_output()) reply(packet.id, StatusReply{.code = StatusCode::kEof});
  ASSERT_TRUE(downloaded_);
  EXPECT_THAT(downloaded_->error().message, HasSubstr("got smaller"));
}

TEST_F(SftpClientTest, MoreDataThanAskedForEndsTheClient) {
  MemorySink sink;
  open(10, sink);
  const Bytes too_much(11);
  reply(take_output().at(0).id, DataReply{too_much});
  ASSERT_TRUE(downloaded_);
  EXPECT_THAT(downloaded_->error().message, HasSubstr("not asked"));
  EXPECT_TRUE(sink.bytes.empty());
}

TEST_F(SftpClientTest, ADiskThatIsFullEndsTheDownload) {
  struct Full final : FileSink {
    Status write(BytesView, std::uint64_t) override { return fail(ErrorCode::kIo, "no space left on device"); }
  } sink;
  reply(0, VersionReply{});
  download(client_, "f", sink, {}, [this](Result<Downloaded> done) { downloaded_ = std::move(done); });
  reply(take_output().at(0).id, HandleReply{as_bytes("h")});
  Attributes attributes;
  attributes.size = 5;
  reply(take_output().at(0).id, AttrsReply{attributes});
  const auto reads = take_output();
  reply(reads.at(0).id, DataReply{as_bytes("12345")});
  reply(reads.at(1).id, StatusReply{.code = StatusCode::kEof});
  ASSERT_TRUE(downloaded_);
  EXPECT_THAT(downloaded_->error().message, HasSubstr("no space left"));
  EXPECT_TRUE(std::holds_alternative<Close>(take_output().at(0).request));
}

TEST_F(SftpClientTest, AWriteThatFailsEndsTheUpload) {
  reply(0, VersionReply{});
  MemorySource source;
  source.bytes = random_bytes(10 << 20);
  std::optional<Result<std::uint64_t>> result;
  upload(client_, "f", source, {}, [&](Result<std::uint64_t> done) { result = std::move(done); });
  reply(take_output().at(0).id, HandleReply{as_bytes("h")});
  for (const auto& packet : take_output()) reply(packet.id, StatusReply{.code = StatusCode::kFailure});
  const auto last = take_output();
  ASSERT_EQ(last.size(), 1u);
  ASSERT_TRUE(std::holds_alternative<Close>(last[0].request));
  EXPECT_FALSE(result);
  reply(last[0].id, StatusReply{});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->error().message, "failure");
}

}  // namespace
}  // namespace mezite::ssh::sftp
