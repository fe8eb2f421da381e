#include "core/error.h"
#include "core/rng.h"
#include "eval/many_shot.h"

#include <array>
#include <string_view>

namespace tenfold {
namespace {

constexpr size_t kActions = 4;
constexpr size_t kThings = 8;

/// What the messages of one class are about.
struct Subject {
  std::array<std::string_view, kActions> actions;
  std::array<std::string_view, kThings> things;
};

constexpr std::array<Subject, kManyShotClasses> kSubjects = {{
    {{"repair", "bleed", "replace", "turn down"},
     {"the radiator in the hall", "the old boiler", "the heater upstairs", "the thermostat", "the stove in the study",
      "the underfloor heating", "the towel warmer", "the heat pump"}},
    {{"unblock", "fix", "seal", "have a look at"},
     {"the kitchen drain", "the dripping tap", "the burst pipe", "the shower head", "the flooded sink", "the leaking cistern",
      "the water meter", "the bathtub's outlet"}},
    {{"prune", "water", "plant", "fertilise"},
     {"the apple trees", "the rose bed", "the hedge by the gate", "the tomatoes", "the lawn behind the house", "the lavender",
      "the young maple", "the herb border"}},
    {{"book", "cancel", "move", "confirm"},
     {"the flight to Oslo", "the night train", "the hotel by the lake", "the ferry for four", "the rental car",
      "the window seats", "the guided tour", "the airport transfer"}},
    {{"cook", "season", "reheat", "order the ingredients for"},
     {"the lentil soup", "the roast lamb", "the mushroom risotto", "the fish stew", "the stuffed peppers", "the apple crumble",
      "the noodle salad", "the birthday cake"}},
    {{"tune", "restring", "polish", "rent out"},
     {"the upright piano", "the cello", "the twelve-string guitar", "the old banjo", "the concert harp", "the violin",
      "the zither", "the mandolin"}},
    {{"walk", "feed", "brush", "take a photograph of"},
     {"the spaniel", "both puppies", "the grey cat", "the neighbour's terrier", "the rabbits", "the parrot", "the pony",
      "the tortoise"}},
    {{"install", "restart", "update", "back up"},
     {"the laptop in the office", "the printer's driver", "the web browser", "the mail program", "the router",
      "the photo archive", "the accounting software", "the game console"}},
    {{"pay", "dispute", "send me a copy of", "split"},
     {"the electricity bill", "the March invoice", "the parking fine", "the insurance premium", "the late fee", "the deposit",
      "the credit card statement", "the property tax"}},
    {{"mow down", "build", "grade", "pave"},
     {"the gravel road", "the car park", "the cycle lane", "the roundabout", "the footpath to the mill", "the driveway",
      "the village street", "the ramp by the bridge"}},
    {{"mend", "hem", "iron", "dye"},
     {"the linen shirt", "the wedding dress", "the torn jeans", "the wool coat", "the silk scarf", "the curtains",
      "the school uniform", "the evening gown"}},
    {{"change", "rotate", "inspect", "order"},
     {"the winter tyres", "the brake pads", "the car's battery", "the engine oil", "the wiper blades", "the headlight bulb",
      "the exhaust", "the clutch of the van"}},
    {{"explain", "mark", "revise", "print"},
     {"the algebra homework", "the history essay", "the spelling test", "the chemistry notes", "the exam timetable",
      "the reading list", "the lecture on Kant", "the term paper"}},
    {{"bandage", "examine", "treat", "X-ray"},
     {"the sprained ankle", "the sore throat", "the burnt hand", "the stiff neck", "the infected cut", "the swollen knee",
      "the broken toe", "the itching rash"}},
    {{"rewire", "disconnect", "test", "earth"},
     {"the wall socket", "the fuse box", "the doorbell circuit", "the garage light", "the three-way switch", "the solar panels",
      "the electric fence", "the chandelier"}},
    {{"referee", "postpone", "film", "sell tickets for"},
     {"the football final", "the tennis match", "the regatta", "the marathon", "the chess tournament", "the swimming gala",
      "the cycling race", "the hockey derby"}},
    {{"paint", "plaster", "sand", "wallpaper"},
     {"the bedroom wall", "the ceiling of the hall", "the stairwell", "the window frames", "the nursery", "the wooden floor",
      "the front door", "the alcove"}},
    {{"translate", "proofread", "publish", "bind"},
     {"the love letters", "the Polish novel", "the cookery book", "the poems", "the user manual", "the memoirs",
      "the fairy tales", "the play in two acts"}},
    {{"chase off", "trap", "get rid of", "identify"},
     {"the ants in the pantry", "the wasps' nest", "the mice in the loft", "the moths", "the cockroaches", "the slugs",
      "the woodworm", "the rats by the bins"}},
    {{"collect", "recycle", "empty", "haul away"},
     {"the glass bottles", "the old mattress", "the compost bin", "the newspapers", "the broken fridge", "the rubble",
      "the garden waste", "the cardboard boxes"}},
}};

constexpr std::array<std::string_view, 8> kOpenings = {"Could somebody",        "Please",
                                                       "I would like you to",   "Is there anyone who can",
                                                       "We need a person to",   "Would it be possible to",
                                                       "My mother asks you to", "It is time to"};
constexpr std::array<std::string_view, 8> kEndings = {
    "today",     "before the weekend", "as soon as you can", "on Thursday morning", "while we are out", "for a fair price",
    "once more", "without any fuss"};

constexpr int64_t kOfOneClass =
    static_cast<int64_t>(kOpenings.size()) * static_cast<int64_t>(kActions * kThings) * static_cast<int64_t>(kEndings.size());
/// Of each class, kept for questions.
constexpr int64_t kForQueries = kOfOneClass / 8;

}  // namespace

ManyShotTexts::ManyShotTexts(uint64_t seed) : seed_(seed) {
  for (int64_t i = 0; i < kManyShotClasses; ++i) labels_.push_back(std::to_string(i + 1));
  Rng(seed, 0).shuffle(labels_);
}

int64_t ManyShotTexts::most() { return (kOfOneClass - kForQueries) * kManyShotClasses; }

LabelledText ManyShotTexts::text(int64_t stream, int64_t number) const {
  const int64_t round = number / kManyShotClasses;
  std::array<size_t, kManyShotClasses> order{};
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Rng(seed_, mix64(static_cast<uint64_t>(stream), static_cast<uint64_t>(round))).shuffle(order);
  const size_t subject = order[static_cast<size_t>(number % kManyShotClasses)];
  // The sentences of a class in an order of its own: a step without a common factor with their number visits each once.
  Rng rng(seed_, mix64(1, subject));
  const int64_t start = static_cast<int64_t>(rng.below(kOfOneClass));
  const int64_t step = 2 * static_cast<int64_t>(rng.below(kOfOneClass / 2)) + 1;
  // Questions come from the end of that order, beginning anywhere there.
  const int64_t offset = static_cast<int64_t>(rng.below(kForQueries));
  const int64_t place = stream == 1 ? round : kOfOneClass - kForQueries + (offset + round) % kForQueries;
  auto sentence = static_cast<size_t>((start + step * place) % kOfOneClass);
  const auto next = [&](size_t n) {
    const size_t digit = sentence % n;
    sentence /= n;
    return digit;
  };
  const Subject& about = kSubjects[subject];
  const std::string_view thing = about.things[next(kThings)];
  const std::string_view action = about.actions[next(kActions)];
  const std::string_view opening = kOpenings[next(kOpenings.size())];
  const std::string_view ending = kEndings[next(kEndings.size())];
  return {fmt::format("{} {} {} {}", opening, action, thing, ending), labels_[subject]};
}

std::vector<LabelledText> ManyShotTexts::examples(int64_t count) const {
  if (count > most()) throw_input("eval manyshot: expected at most {} examples, got {}", most(), count);
  std::vector<LabelledText> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(text(1, i));
  return out;
}

std::vector<LabelledText> ManyShotTexts::queries(int64_t count) const {
  if (count > kForQueries * kManyShotClasses) {
    throw_input("eval manyshot: --queries: expected at most {}, got {}", kForQueries * kManyShotClasses, count);
  }
  std::vector<LabelledText> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(text(2, i));
  return out;
}

}  // namespace tenfold
