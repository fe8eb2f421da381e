#include "synth/clauses.h"

#include "synth/word_lists.h"
#include "synth/wording.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace tenfold {
namespace {

using sv = std::string_view;

struct ActionVerb {
  sv base, past, participle;
};

/// Verbs that take almost any thing.
constexpr auto kVerbs = std::to_array<ActionVerb>({
    {"sell", "sold", "sold"},
    {"buy", "bought", "bought"},
    {"repair", "repaired", "repaired"},
    {"paint", "painted", "painted"},
    {"lose", "lost", "lost"},
    {"find", "found", "found"},
    {"borrow", "borrowed", "borrowed"},
    {"steal", "stole", "stolen"},
    {"bury", "buried", "buried"},
    {"break", "broke", "broken"},
    {"carry away", "carried away", "carried away"},
    {"build", "built", "built"},
    {"draw", "drew", "drawn"},
    {"photograph", "photographed", "photographed"},
    {"describe", "described", "described"},
    {"weigh", "weighed", "weighed"},
    {"auction off", "auctioned off", "auctioned off"},
    {"polish", "polished", "polished"},
    {"return", "returned", "returned"},
    {"clean", "cleaned", "cleaned"},
    {"win", "won", "won"},
    {"throw away", "threw away", "thrown away"},
    {"give up", "gave up", "given up"},
    {"wrap up", "wrapped up", "wrapped up"},
    {"inspect", "inspected", "inspected"},
    {"guard", "guarded", "guarded"},
    {"copy", "copied", "copied"},
    {"admire", "admired", "admired"},
    {"damage", "damaged", "damaged"},
    {"rent", "rented", "rented"},
    {"order", "ordered", "ordered"},
    {"refuse", "refused", "refused"},
    {"notice", "noticed", "noticed"},
    {"demand", "demanded", "demanded"},
    {"forget", "forgot", "forgotten"},
    {"receive", "received", "received"},
    {"keep", "kept", "kept"},
    {"rescue", "rescued", "rescued"},
    {"burn", "burned", "burned"},
    {"drop", "dropped", "dropped"},
    {"mend", "mended", "mended"},
    {"pawn", "pawned", "pawned"},
    {"measure", "measured", "measured"},
    {"design", "designed", "designed"},
    {"unload", "unloaded", "unloaded"},
    {"count", "counted", "counted"},
    {"hang up", "hung up", "hung up"},
    {"show around", "showed around", "shown around"},
    {"lock away", "locked away", "locked away"},
    {"test", "tested", "tested"},
    {"smuggle", "smuggled", "smuggled"},
    {"leave behind", "left behind", "left behind"},
    {"take apart", "took apart", "taken apart"},
    {"promise", "promised", "promised"},
    {"exchange", "exchanged", "exchanged"},
    {"recognise", "recognised", "recognised"},
    {"offer", "offered", "offered"},
    {"decorate", "decorated", "decorated"},
    {"study", "studied", "studied"},
    {"move", "moved", "moved"},
    {"hide", "hid", "hidden"},
    {"lend", "lent", "lent"},
    {"rebuild", "rebuilt", "rebuilt"},
    {"choose", "chose", "chosen"},
    {"tear up", "tore up", "torn up"},
    {"hold up", "held up", "held up"},
    {"show off", "showed off", "shown off"},
    {"fetch", "fetched", "fetched"},
    {"examine", "examined", "examined"},
    {"insure", "insured", "insured"},
    {"store", "stored", "stored"},
    {"deliver", "delivered", "delivered"},
    {"assemble", "assembled", "assembled"},
    {"display", "displayed", "displayed"},
    {"confiscate", "confiscated", "confiscated"},
    {"praise", "praised", "praised"},
    {"transport", "transported", "transported"},
    {"restore", "restored", "restored"},
    {"imitate", "imitated", "imitated"},
    {"varnish", "varnished", "varnished"},
    {"unwrap", "unwrapped", "unwrapped"},
    {"trade", "traded", "traded"},
    {"label", "labelled", "labelled"},
    {"raffle", "raffled", "raffled"},
    {"sketch", "sketched", "sketched"},
    {"ruin", "ruined", "ruined"},
    {"sink", "sank", "sunk"},
    {"sweep out", "swept out", "swept out"},
    {"put on", "put on", "put on"},
    {"bring back", "brought back", "brought back"},
});

constexpr auto kSubjects = std::to_array<sv>({
    "{name}",
    "{name}",
    "{name} the {trade}",
    "the {trade} of {city3}",
    "the {trade}'s youngest daughter",
    "the oldest member of the {club}",
    "{name}'s neighbour",
    "the twin brother of {name}",
    "{a:trade} called {name}",
    "the new head of the {club}",
    "{name}, who keeps {a:animal},",
    "the only {trade} in the valley",
    "the people of {city3}",
    "the members of the {club}",
    "{name} and {name4}",
    "every {trade} in {city3}",
    "a stranger from {city3}",
    "nobody but {name}",
});

constexpr auto kObjects = std::to_array<sv>({
    "{a:thing}",
    "{a:thing}",
    "the {thing} of {name2}",
    "{a:color} {thing}",
    "{a:thing} made of {material}",
    "{a:thing} from a set of {small}",
    "the {adjective} {thing} in the country",
    "{name2}'s {thing}",
    "the {thing} with the {color} handle",
    "a crate with {a:thing} inside",
    "the last {thing} in {city2}",
    "{food}",
    "a picture of {a:animal}",
    "a letter about {a:thing}",
    "half {a:thing}",
    "{a:thing} and {a:thing2}",
});

constexpr auto kPlaces = std::to_array<sv>({"in {city}", "near {city}", "on the road to {city}", "at the house of {name3}",
                                            "in the market hall of {city}", "on board the ferry to {city}"});
constexpr auto kTimes = std::to_array<sv>({"in {month}", "in {year}", "at {time}", "on the second day of {month}",
                                           "in the summer of {year}", "a week before the wedding", "the day after the election"});
constexpr auto kManners = std::to_array<sv>({
    "without a word",
    "by candlelight",
    "with the left hand",
    "under a false name",
    "in complete silence",
    "with great care",
    "for the third time",
    "wearing a {color} hat",
    "at half the price",
    "with the help of {a:animal2}",
    "by mistake",
    "in front of everybody",
    "with a borrowed {thing3}",
    "on the {adjective} day of all",
    "with eyes shut",
    "in exchange for {food}",
    "by telephone",
    "on horseback",
    "through a window",
    "in less than an hour",
    "while {activity}",
    "with a loud song",
    "in return for {a:thing3}",
    "by sleight of hand",
});
constexpr auto kReasons = std::to_array<sv>({
    "because {reason}",
    "because {reason}",
    "out of pure boredom",
    "to please {name3}",
    "for fear of {animal2}s",
    "for a bet",
    "to pay for {a:thing3}",
    "in memory of an uncle from {city2}",
    "by order of the {club2}",
    "since {reason}",
});
/// Under which something must, may or should be done; in the present, for those alone.
constexpr auto kConditions = std::to_array<sv>({
    "if nobody objects",
    "if the {thing3} breaks",
    "if {name3} comes home late",
    "if the wind turns in {month}",
    "if the price of {food} falls",
    "unless {name3} objects",
    "unless the {thing3} has been sold",
    "whenever the {club2} meets",
    "as long as {name3} pays the rent",
    "as soon as the {animal2} is asleep",
    "before anybody asks for the {thing3}",
    "after the second knock at the door",
    "until the {trade2} comes back",
    "once {name3} has found the {thing3}",
});
constexpr auto kReceivers = std::to_array<sv>({"for {name3}", "for the {club2}", "for {a:trade2}", "for a cousin in {city2}"});

/// How a question in front asks for a circumstance that begins so; "Behind what" for the rest of those that begin with a
/// preposition.
struct AskInFront {
  sv begins, asks;
};
constexpr auto kAsksInFront = std::to_array<AskInFront>({
    {"in {city}", "In which city"},
    {"in the market hall of", "In the market hall of which city"},
    {"near {city}", "Near which city"},
    {"on the road to", "On which road"},
    {"at the house of", "At whose house"},
    {"on board", "On board what"},
    {"in {month}", "In which month"},
    {"in {year}", "In which year"},
    {"at {time}", "At what time"},
    {"on the second day of", "On which day"},
    {"in the summer of", "In the summer of which year"},
    {"a week before", "How long before the wedding"},
    {"with the left hand", "With which hand"},
    {"under a false name", "Under what sort of name"},
    {"wearing", "Wearing what"},
    {"at half the price", "At what price"},
    {"with the help of", "With whose help"},
    {"in front of", "In front of whom"},
    {"in exchange for", "In exchange for what"},
    {"on horseback", "On what"},
    {"in less than", "In what time"},
    {"while", "While doing what"},
    {"in return for", "In return for what"},
    {"to please", "To please whom"},
    {"for fear of", "For fear of what"},
    {"for a bet", "For what"},
    {"to pay for", "To pay for what"},
    {"in memory of", "In memory of whom"},
    {"by order of", "By whose order"},
    {"for {name3}", "For whom"},
    {"for the {club2}", "For which club"},
    {"for {a:trade2}", "For whom"},
    {"if ", "On what condition"},
    {"unless ", "In which case only"},
    {"as long as", "On what condition"},
    {"whenever ", "On which occasions"},
    {"as soon as", "At which moment"},
    {"before anybody", "Before what"},
    {"after the second", "After what"},
    {"until ", "Until when"},
    {"once ", "After what"},
});

/// How a question asks for one of a kind: "Which baker" for "the baker of Lisbon".
constexpr auto kAsksWhich = std::to_array<AskInFront>({
    {"{name} the {trade}", "Which {trade}"},
    {"the {trade} of {city3}", "Which {trade}"},
    {"the {trade}'s youngest", "Whose youngest daughter"},
    {"the oldest member", "Which member of the {club}"},
    {"{name}'s neighbour", "Whose neighbour"},
    {"the twin brother", "Whose twin brother"},
    {"{a:trade} called", "Which {trade}"},
    {"the new head", "The new head of which club"},
    {"the members", "The members of which club"},
    {"the people", "The people of which city"},
    {"the {thing} of", "Whose {thing}"},
    {"{a:color} {thing}", "Which {thing}"},
    {"{a:thing} made", "What sort of {thing}"},
    {"{a:thing} from", "Which {thing}"},
    {"the {adjective} {thing}", "Which {thing}"},
    {"{name2}'s", "Whose {thing}"},
    {"the {thing} with", "Which {thing}"},
    {"the last {thing}", "Which {thing}"},
    {"a picture", "What picture"},
    {"a letter", "What letter"},
});
constexpr auto kPrepositions = std::to_array<sv>(
    {"under", "behind", "beneath", "inside", "beside", "between", "below", "with", "through", "near", "during", "after"});

enum class Part : uint8_t { kWho, kWhat, kWhere, kWhen, kHow, kWhy, kForWhom };

sv asks_for(Part part) {
  switch (part) {
    case Part::kWho: return "Who";
    case Part::kWhat: return "What";
    case Part::kWhere: return "Where";
    case Part::kWhen: return "When";
    case Part::kHow: return "How";
    case Part::kWhy: return "Why";
    case Part::kForWhom: return "For whom";
  }
  return {};
}

struct Adjunct {
  Part part;
  sv text;
};

/// One to three, each of another kind.
std::vector<Adjunct> draw_adjuncts(Rng& rng, bool conditional) {
  std::vector<Adjunct> all = {{Part::kWhere, rng.below(2) == 0 ? rng.pick(words_of(WordList::kPlace)) : rng.pick(kPlaces)},
                              {Part::kWhen, conditional && rng.below(2) == 0 ? rng.pick(kConditions)
                                            : rng.below(3) == 0              ? rng.pick(words_of(WordList::kWhen))
                                                                             : rng.pick(kTimes)},
                              {Part::kHow, rng.pick(kManners)},
                              {Part::kWhy, rng.pick(kReasons)},
                              {Part::kForWhom, rng.pick(kReceivers)}};
  rng.shuffle(all);
  all.resize(1 + rng.below(3));
  // A clause with its own verb reads well only at the end.
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    if (all[i].part == Part::kWhy) std::swap(all[i], all.back());
  }
  return all;
}

std::string list_of(const std::vector<Adjunct>& adjuncts, size_t from = 0) {
  std::string out;
  for (size_t i = from; i < adjuncts.size(); ++i) out += fmt::format(" {}", adjuncts[i].text);
  return out;
}

/// "Where", or every other time, where there is one, a longer one such as "Under what" or "In which city".
std::string question_word(Rng& rng, const Adjunct& asked) {
  if (rng.below(2) == 0) return std::string(asks_for(asked.part));
  for (const AskInFront& ask : kAsksInFront) {
    if (asked.text.starts_with(ask.begins)) return std::string(ask.asks);
  }
  const sv first = asked.text.substr(0, asked.text.find(' '));
  for (const sv preposition : kPrepositions) {
    if (preposition == first) return fmt::format("{} what", capitalized(first));
  }
  return std::string(asks_for(asked.part));
}

/// "Who", or now and then "Which baker", where the shape tells a kind.
std::string question_word(Rng& rng, sv shape, Part part) {
  if (rng.below(5) < 2) {
    for (const AskInFront& ask : kAsksWhich) {
      if (shape.starts_with(ask.begins)) return std::string(ask.asks);
    }
  }
  return std::string(asks_for(part));
}

/// The first letter of a shape as a capital: of its text, or through the slot's form.
std::string begun(sv shape) {
  if (!shape.starts_with('{')) return capitalized(shape);
  std::string out(shape);
  if (out.size() > 2 && out[2] == ':') {
    out[1] = 'A';
    return out;
  }
  return out.insert(1, "C:");
}

/// How the verb is said: in the sentence, and in a question behind its auxiliary and the subject.
struct Form {
  std::string said, auxiliary, asked;
};

Form draw_form(Rng& rng, const ActionVerb& verb) {
  constexpr auto kModals = std::to_array<sv>({"must", "should", "may", "can", "will", "could", "would", "might"});
  const uint64_t u = rng.below(10);
  if (u < 6) return {std::string(verb.past), "did", std::string(verb.base)};
  if (u < 7) return {fmt::format("had {}", verb.participle), "had", std::string(verb.participle)};
  const sv modal = rng.pick(kModals);
  return {fmt::format("{} {}", modal, verb.base), std::string(modal), std::string(verb.base)};
}

std::string order(Rng& rng, sv who, const Form& form, sv what, const std::vector<Adjunct>& adjuncts) {
  const std::string rest = list_of(adjuncts);
  // The last ones tell what happened.
  switch (rng.below(form.auxiliary == "did" ? 9 : 5)) {
    case 0:
    case 1: return fmt::format("{} {} {}{}.", begun(who), form.said, what, rest);
    case 2: return fmt::format("{}, {} {} {}{}.", begun(adjuncts[0].text), who, form.said, what, list_of(adjuncts, 1));
    case 3: return fmt::format("They say that {} {} {}{}.", who, form.said, what, rest);
    case 4: return fmt::format("Not {{name5}} but {} {} {}{}.", who, form.said, what, rest);
    case 5: return fmt::format("{} was what {} {}{}.", begun(what), who, form.said, rest);
    case 6: return fmt::format("It was {} who {} {}{}.", who, form.said, what, rest);
    case 7: return fmt::format("{}{}: that is what {} {}.", begun(what), rest, who, form.said);
    default: return fmt::format("It happened {}: {} {} {}{}.", adjuncts[0].text, who, form.said, what, list_of(adjuncts, 1));
  }
}

/// "Sell the lantern in Lisbon."
std::string command(Rng& rng, sv verb, sv what, const std::vector<Adjunct>& adjuncts) {
  const std::string rest = list_of(adjuncts);
  switch (rng.below(4)) {
    case 0: return fmt::format("Remember to {} {}{}.", verb, what, rest);
    case 1: return fmt::format("Whoever wants to {} {} should do it{}.", verb, what, rest);
    case 2: return fmt::format("{}, always {} {}{}.", begun(adjuncts[0].text), verb, what, list_of(adjuncts, 1));
    default: return fmt::format("{} {}{}, whatever anybody says.", capitalized(verb), what, rest);
  }
}

/// "The lantern was sold in Lisbon by Ada."
std::string passive(Rng& rng, sv who, const ActionVerb& verb, sv what, const std::vector<Adjunct>& adjuncts) {
  if (rng.below(2) == 0) return fmt::format("{} had been {} by {}{}.", begun(what), verb.participle, who, list_of(adjuncts));
  return fmt::format("{}, {} had been {} by {}{}.", begun(adjuncts[0].text), what, verb.participle, who, list_of(adjuncts, 1));
}

}  // namespace

Clause draw_clause(Rng& rng) {
  const ActionVerb& verb = rng.pick(kVerbs);
  const sv what = rng.pick(kObjects);
  const bool commands = rng.below(8) == 0;
  const sv subject = commands ? sv("one") : rng.pick(kSubjects);
  const bool relative = subject.ends_with(',');  // its second comma belongs before a verb alone
  const sv who = relative ? sv("{name}") : subject;
  Form form = commands ? Form{fmt::format("should {}", verb.base), "should", std::string(verb.base)} : draw_form(rng, verb);
  const std::vector<Adjunct> adjuncts = draw_adjuncts(rng, form.auxiliary != "did" && form.auxiliary != "had");

  Clause clause;
  if (commands) {
    clause.sentence = command(rng, verb.base, what, adjuncts);
  } else if (relative) {
    clause.sentence = fmt::format("{} {} {}{}.", begun(subject), form.said, what, list_of(adjuncts));
  } else if (rng.below(6) == 0) {
    form = {std::string(verb.past), "did", std::string(verb.base)};
    clause.sentence = passive(rng, who, verb, what, adjuncts);
  } else {
    clause.sentence = order(rng, who, form, what, adjuncts);
  }

  // Beside who did what, a question may name one more circumstance.
  const size_t told = rng.below(adjuncts.size() + 2);
  const uint64_t u = rng.below(10);
  const auto with = [&](Part asked) {
    return told < adjuncts.size() && adjuncts[told].part != asked ? fmt::format(" {}", adjuncts[told].text) : std::string();
  };
  if (u < 2 && !commands) {
    clause.question = fmt::format("{} {} {}{}?", question_word(rng, who, Part::kWho), form.said, what, with(Part::kWho));
    clause.value = begun(who);
    clause.restated = fmt::format("{} {} {}.", begun(who), form.said, what);
  } else if (u < 5) {
    // What somebody did is asked for together with a circumstance, or more than one thing would answer.
    clause.question =
        fmt::format("{} {} {} {}{}?", question_word(rng, what, Part::kWhat), form.auxiliary, who, form.asked, with(Part::kWhat));
    clause.value = begun(what);
    clause.restated = fmt::format("{} {} {}.", begun(who), form.said, what);
  } else {
    const Adjunct& asked = rng.pick(adjuncts);
    const std::string more = with(asked.part);
    const std::string asks = question_word(rng, asked);
    clause.question = rng.below(5) == 0 ? fmt::format("{} was it that {} {} {}{}?", asks, who, form.said, what, more)
                                        : fmt::format("{} {} {} {} {}{}?", asks, form.auxiliary, who, form.asked, what, more);
    clause.value = begun(asked.text);
    clause.restated = fmt::format("{} {} {} {}.", begun(who), form.said, what, asked.text);
  }
  return clause;
}

}  // namespace tenfold
