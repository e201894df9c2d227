// What reaches each row of the feature maps in a backward pass, in a fixed order.
#ifndef CASCADE_TF_COMMON_ROW_SHARES_H_
#define CASCADE_TF_COMMON_ROW_SHARES_H_

#include <cstdint>
#include <vector>

namespace cascade_tf {

// A row of an RoI's bins or points that reaches a row of cells.
struct RowShare {
  int64_t row;  // among the rows of all maps
  int64_t roi;
  int part;  // of the RoI
  float weight;
};

class RowShares {
 public:
  void Add(const RowShare& share) { shares_.push_back(share); }

  // Orders the shares by row; those of a row stay in the order in which they came.
  void Sort(int64_t num_rows) {
    begin_.assign(num_rows + 1, 0);
    for (const RowShare& share : shares_) ++begin_[share.row + 1];
    for (int64_t row = 0; row < num_rows; ++row) begin_[row + 1] += begin_[row];
    std::vector<int64_t> next(begin_.begin(), begin_.end() - 1);
    std::vector<RowShare> sorted(shares_.size());
    for (const RowShare& share : shares_) sorted[next[share.row]++] = share;
    shares_.swap(sorted);
  }

  const RowShare* begin(int64_t row) const { return shares_.data() + begin_[row]; }
  const RowShare* end(int64_t row) const { return shares_.data() + begin_[row + 1]; }

 private:
  std::vector<RowShare> shares_;
  std::vector<int64_t> begin_;
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_ROW_SHARES_H_
