#include "bridge/errors.h"

#include <c10/util/Exception.h>

#include <iomanip>
#include <new>
#include <regex>
#include <sstream>

#include "bridge/memory_limit.h"
#include "error.h"

namespace transfer_limits {
namespace {

// What one of LibTorch's allocators says of itself, as "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15
// GiB of which 1.20 GiB is free." or "you tried to allocate 4096 bytes".
struct Shortage {
  std::string device = "the CPU";
  std::string asked;  // in words; empty: it does not say
  std::string free;
};

std::string readable(double bytes) {
  static const char* const units[] = {"bytes", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  std::ostringstream text;
  text << std::fixed << std::setprecision(unit == 0 ? 0 : 2) << bytes << " " << units[unit];
  return text.str();
}

// An amount as LibTorch wrote it: GPUs' allocators use binary units, the CPU's counts bytes.
std::string amount(const std::smatch& found) {
  return found[2] == "bytes" ? readable(std::stod(found[1])) : found[1].str() + " " + found[2].str();
}

Shortage shortage_of(const std::string& message) {
  static const std::regex gpu("GPU ([0-9]+)"), asked("ried to allocate ([0-9.]+) ([A-Za-z]+)"),
      free("of which ([0-9.]+) ([A-Za-z]+) is free"), of_cuda("CUDA|CUDNN|CUBLAS");
  Shortage result;
  std::smatch found;
  if (std::regex_search(message, found, asked)) result.asked = amount(found) + " was asked for";
  if (std::regex_search(message, found, free)) result.free = amount(found) + " was free";
  if (std::regex_search(message, found, gpu)) {
    result.device = "cuda:" + found[1].str();
  } else if (std::regex_search(message, of_cuda)) {
    result.device = "the GPU";
  } else if (result.free.empty()) {
    result.free = readable(double(free_cpu_memory())) + " is free now";  // what the work held is given back
  }
  return result;
}

Failure out_of_memory(const std::string& message) {
  const Shortage shortage = shortage_of(message);
  std::string amounts = shortage.asked;
  if (!shortage.free.empty()) amounts += (amounts.empty() ? "" : ", ") + shortage.free;
  return {"OUT_OF_MEMORY", "No memory is left on " + shortage.device + " for this work" +
                               (amounts.empty() ? "" : ": " + amounts) +
                               ". Less is needed with fewer jobs (execution.jobs), a smaller "
                               "training.microBatch, execution.checkpointing: true, or fewer voxels "
                               "(cohort.voxels). LibTorch says: " +
                               message.substr(0, 500)};
}

// What has no type of its own: the CPU's allocator, CUDA's runtime, and the libraries on it where their workspaces do not
// fit.
bool says_out_of_memory(const std::string& message) {
  for (const char* words : {"you tried to allocate", "CUDA error: out of memory", "cudaErrorMemoryAllocation",
                            "_STATUS_ALLOC_FAILED", "HOST_ALLOCATION_FAILED", "DEVICE_ALLOCATION_FAILED"}) {
    if (message.find(words) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const c10::OutOfMemoryError& error) {
    return out_of_memory(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    if (says_out_of_memory(message)) return out_of_memory(message);
    if (message.find("does not have a deterministic implementation") != std::string::npos) {
      return {"BAD_CONFIG",
              "Expected work that gives the same bits each time, but LibTorch has no such code for it here. "
              "Do without by execution.deterministic: false. LibTorch says: " +
                  message.substr(0, 500)};
    }
    return {"INTERNAL", "LibTorch: " + message};
  } catch (const std::bad_alloc&) {
    return out_of_memory("an allocation was refused");
  } catch (const std::exception& error) {
    return {"INTERNAL", error.what()};
  } catch (...) {
    return {"INTERNAL", "Something unknown was thrown"};
  }
}

Napi::Error to_javascript(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code));
  return error;
}

}  // namespace transfer_limits
