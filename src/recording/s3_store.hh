// Recordings as objects in S3: <prefix><session id>.mezrec.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "aws/s3.hh"
#include "recording/object_store.hh"

namespace mezite::recording {

class BulkFile;

class S3Store final : public ObjectStore {
 public:
  // Objects over this go in parts of it, or of as much as 10,000 parts need.
  static constexpr std::uint64_t kPartBytes = std::uint64_t{8} << 20;

  // prefix: "" or a path; a "/" is added where it does not end with one.
  S3Store(std::unique_ptr<aws::S3> s3, std::string prefix, std::uint64_t part_bytes = kPartBytes);

  Status store(std::string_view session_id, const std::filesystem::path& file, const std::filesystem::path& progress,
               const ObjectFacts& facts) override;
  Result<ReadChunk> read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) override;
  Status remove(std::string_view session_id) override;
  Result<ObjectHead> head(std::string_view session_id, std::size_t max_bytes) override;
  Result<ObjectPage> list(std::string_view after_session_id, std::string_view next) override;

  std::string key_of(std::string_view session_id) const;
  const aws::CallLatency& latency() const { return s3_->latency(); }
  // store() ends with kUnavailable before its next call.
  void interrupt() {
    interrupted_ = true;
    s3_->interrupt();
  }

 private:
  struct Progress;
  Status store_parts(const std::string& key, BulkFile& file, std::uint64_t size, const std::filesystem::path& progress,
                     const aws::S3::Metadata& metadata);

  std::unique_ptr<aws::S3> s3_;
  std::string prefix_;
  const std::uint64_t part_bytes_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace mezite::recording
