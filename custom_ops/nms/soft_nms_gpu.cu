// Soft suppression on a GPU: a block takes an image. Each thread looks after its share of the candidates.
#include "../common/launch.h"
#include "nms_device.h"
#include "soft_nms.h"

namespace cascade_tf {
namespace {

struct SelectSoftly {
  static constexpr int kThreads = 512;
  static constexpr int kGroup = 32;  // threads whose best are compared by one of them

  struct Shared {
    Candidate best[kThreads];  // index -1 for none
    Candidate best_of_groups[kThreads / kGroup];
    Candidate selected;
  };

  CascadeTfNms call;
  Decay decay;
  // A thread's remaining candidates are at thread, thread + kThreads, ... of its image's.
  float* scores;
  int32_t* indices;
  int64_t candidates, room;  // of an image

  CASCADE_TF_HOST_DEVICE void operator()(const Block<kThreads>& block, Shared& shared) const {
    const int64_t image = block.index();
    PerThread<int64_t, kThreads> remaining;
    block.ForThreads([&](int thread) { remaining[thread] = Collect(image, thread, &shared.best[thread]); });
    int count = 0;
    while (count < call.max_outputs) {
      block.ForThreads([&](int thread) {
        if (thread % kGroup == 0) shared.best_of_groups[thread / kGroup] = BestOf(shared.best + thread, kGroup);
      });
      block.ForThreads([&](int thread) {
        if (thread != 0) return;
        shared.selected = BestOf(shared.best_of_groups, kThreads / kGroup);
        if (shared.selected.index < 0) return;
        WriteSelected(call, image, count, shared.selected.score, shared.selected.index);
      });
      if (shared.selected.index < 0) break;
      ++count;
      block.ForThreads([&](int thread) {
        remaining[thread] = DecayAll(image, thread, shared.selected.index, remaining[thread], &shared.best[thread]);
      });
    }
    block.ForThreads([&](int thread) {
      if (thread == 0) call.count[image] = count;
    });
  }

  CASCADE_TF_HOST_DEVICE static Candidate BestOf(const Candidate* of, int count) {
    Candidate best = of[0];
    for (int i = 1; i < count; ++i) Improve(of[i], &best);
    return best;
  }

  CASCADE_TF_HOST_DEVICE static void Improve(const Candidate& other, Candidate* best) {
    if (other.index >= 0 && (best->index < 0 || IsBetter(other, *best))) *best = other;
  }

  CASCADE_TF_HOST_DEVICE int64_t Collect(int64_t image, int thread, Candidate* best) const {
    int64_t count = 0;
    *best = {0.0f, -1};
    for (int64_t i = thread; i < candidates; i += kThreads) {
      const float score = call.scores[image * candidates + i];
      if (!IsCandidate(call, image, i, score)) continue;
      Keep(image, thread, count++, {score, static_cast<int32_t>(i)}, best);
    }
    return count;
  }

  CASCADE_TF_HOST_DEVICE void Keep(int64_t image, int thread, int64_t place, Candidate candidate,
                                   Candidate* best) const {
    const int64_t to = image * room + place * kThreads + thread;
    scores[to] = candidate.score;
    indices[to] = candidate.index;
    Improve(candidate, best);
  }

  // Decays a thread's candidates of the selected one's class; returns how many remain.
  CASCADE_TF_HOST_DEVICE int64_t DecayAll(int64_t image, int thread, int32_t selected, int64_t remaining,
                                          Candidate* best) const {
    int64_t count = 0;
    *best = {0.0f, -1};
    const float* a = BoxOf(call, image, selected);
    const float area = (a[2] - a[0]) * (a[3] - a[1]);
    for (int64_t place = 0; place < remaining; ++place) {
      const int64_t from = image * room + place * kThreads + thread;
      Candidate candidate = {scores[from], indices[from]};
      if (candidate.index == selected) continue;
      if (candidate.index % call.num_classes == selected % call.num_classes) {
        const float* b = BoxOf(call, image, candidate.index);
        const float iou = OverlapOf(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], area,
                                    (b[2] - b[0]) * (b[3] - b[1]));
        if (iou > 0.0f) candidate.score *= decay(iou);
        if (!(candidate.score > call.score_threshold)) continue;
      }
      Keep(image, thread, count++, candidate, best);
    }
    return count;
  }
};

int64_t RoomOf(const CascadeTfNms& call) {
  const int64_t threads = SelectSoftly::kThreads;
  return (call.num_boxes * call.num_classes + threads - 1) / threads * threads;
}

}  // namespace
}  // namespace cascade_tf

extern "C" int64_t cascade_tf_soft_nms_workspace(const CascadeTfNms* call) {
  return call->batch * cascade_tf::RoomOf(*call) * static_cast<int64_t>(sizeof(float) + sizeof(int32_t));
}

extern "C" int cascade_tf_soft_nms(const CascadeTfNms* call, void* workspace, void* stream) {
  using namespace cascade_tf;
  const int error = ForEach(stream, call->batch * call->max_outputs, ClearOutputs{*call});
  if (error != 0) return error;
  const int64_t room = RoomOf(*call);
  float* scores = static_cast<float*>(workspace);
  int32_t* indices = reinterpret_cast<int32_t*>(scores + call->batch * room);
  const Decay decay = {call->gaussian != 0, call->iou_threshold, call->sigma};
  return ForBlocks(stream, call->batch,
                   SelectSoftly{*call, decay, scores, indices, call->num_boxes * call->num_classes, room});
}
