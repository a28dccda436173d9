// ComputeContext: what a worker brings to a computation: its oneDNN stream and
// its workspace. One per worker thread, made on that thread; passed down, never
// stored. Kernels run on the calling thread alone: parallelism is across
// chunks.
#ifndef LONGHAND_CORE_COMPUTE_COMPUTE_CONTEXT_H_
#define LONGHAND_CORE_COMPUTE_COMPUTE_CONTEXT_H_

#include <memory>

#include "core/compute/workspace.h"

namespace longhand {

class ComputeContext {
 public:
  // Also limits the math library's own threads to one for the calling thread.
  ComputeContext();
  ~ComputeContext();
  ComputeContext(const ComputeContext&) = delete;
  ComputeContext& operator=(const ComputeContext&) = delete;

  Workspace& workspace() { return workspace_; }

  // Only for core/compute.
  struct Backend;
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
  Workspace workspace_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_COMPUTE_CONTEXT_H_
