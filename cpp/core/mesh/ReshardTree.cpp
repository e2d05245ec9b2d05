// Grows trees of reshards; see the header.

#include "core/mesh/ReshardTree.h"
#include <algorithm>

namespace alpa {
namespace {

class Grower {
public:
  Grower(const ReshardTable &table, int made) : table(table), places{made} {}

  /// Goes to `target` from the nearest place. The first of equals, so that the order is fixed.
  void growTo(int target) {
    const int from = nearest(target);
    total += table.seconds(places[from], target);
    int at = from;
    for (const ReshardStep &step : table.route(table[places[from]], table[target])) {
      tree.steps.push_back({at - 1, step});
      places.push_back(table.indexOf(step.target));
      at = static_cast<int>(places.size()) - 1;
    }
  }

  /// Goes to all of `targets`, the nearest first.
  void growToAll(std::vector<int> targets) {
    while (!targets.empty()) {
      auto next = std::min_element(targets.begin(), targets.end(), [&](int one, int other) {
        return distance(one) < distance(other);
      });
      growTo(*next);
      targets.erase(next);
    }
  }

  /// The step that made `sharding`, which was reached.
  int arrival(int sharding) const {
    return static_cast<int>(std::find(places.begin(), places.end(), sharding) - places.begin()) - 1;
  }

  void take(Grower &other) {
    total = other.total;
    tree = std::move(other.tree);
    places = std::move(other.places);
  }

  double total = 0;
  ReshardTree tree;

private:
  int nearest(int target) const {
    int best = 0;
    for (size_t i = 1; i < places.size(); ++i)
      if (table.seconds(places[i], target) < table.seconds(places[best], target))
        best = static_cast<int>(i);
    return best;
  }
  double distance(int target) const { return table.seconds(places[nearest(target)], target); }

  const ReshardTable &table;
  std::vector<int> places; ///< shardings: what was made, then where each step arrives
};

} // namespace

double ReshardTree::seconds() const {
  double total = 0;
  for (const Step &step : steps)
    total += step.step.seconds;
  return total;
}

ReshardTree reshardTree(const ReshardTable &table, const Sharding &made,
                        const std::vector<Sharding> &wanted) {
  const int source = table.indexOf(made);
  std::vector<int> targets;
  for (const Sharding &sharding : wanted)
    targets.push_back(table.indexOf(sharding));
  std::vector<int> distinct = targets;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  distinct.erase(std::remove(distinct.begin(), distinct.end(), source), distinct.end());

  auto grow = [&](int view) {
    Grower grower(table, source);
    if (view != source)
      grower.growTo(view);
    grower.growToAll(distinct);
    return grower;
  };
  Grower best = grow(source); // no view
  for (int view = 0; distinct.size() > 1 && view < table.size(); ++view)
    if (view != source && table.seconds(source, view) < best.total)
      if (Grower grower = grow(view); grower.total < best.total)
        best.take(grower);
  for (int target : targets)
    best.tree.arrivals.push_back(best.arrival(target));
  return best.tree;
}

} // namespace alpa
