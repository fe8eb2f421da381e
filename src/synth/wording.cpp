#include "synth/wording.h"

#include "core/error.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr auto kNames = std::to_array<sv>(
    {"Ada",   "Boris",  "Chiara", "Dmitri", "Eszter",  "Farid",   "Greta",  "Hugo",   "Ines",   "Jonas",  "Keiko",   "Lars",
     "Mira",  "Nadia",  "Omar",   "Paola",  "Quentin", "Rosa",    "Sven",   "Tamsin", "Umar",   "Vera",   "Wanda",   "Yusuf",
     "Zoe",   "Amara",  "Bruno",  "Carmen", "Dario",   "Esme",    "Femi",   "Gustav", "Hana",   "Imran",  "Jolanta", "Kofi",
     "Leila", "Matteo", "Noor",   "Oskar",  "Priya",   "Ravi",    "Saskia", "Tomas",  "Ulrike", "Viktor", "Winston", "Xenia",
     "Yara",  "Zoltan", "Anouk",  "Bashir", "Celeste", "Desmond", "Elif",   "Fiona",  "Goran",  "Hilde",  "Ivo",     "Jasmin",
     "Kwame", "Lucia",  "Marek",  "Nils",   "Odile",   "Pavel",   "Rashid", "Signe",  "Teodor", "Uma"});
constexpr auto kThings = std::to_array<sv>(
    {"lantern",    "violin",      "compass",        "teapot",          "saddle",         "mirror",     "anvil",    "pillow",
     "ribbon",     "trumpet",     "ladder",         "barrel",          "engine",         "basket",     "candle",   "carpet",
     "helmet",     "saucer",      "wagon",          "camera",          "telescope",      "umbrella",   "hammock",  "kettle",
     "chessboard", "accordion",   "typewriter",     "bicycle",         "sundial",        "lighthouse", "canoe",    "harp",
     "globe",      "suitcase",    "microscope",     "clock",           "statue",         "tapestry",   "fountain", "windmill",
     "piano",      "rowing boat", "printing press", "cabinet",         "carousel",       "drum",       "easel",    "furnace",
     "generator",  "bellows",     "icebox",         "jukebox",         "kiln",           "loom",       "mosaic",   "net",
     "organ",      "parachute",   "quilt",          "radio",           "sewing machine", "tractor",    "vase",     "weather vane",
     "xylophone",  "yacht",       "submarine",      "hot-air balloon", "glider",         "snow globe"});
constexpr auto kCities = std::to_array<sv>(
    {"Lisbon",   "Oslo",    "Kyoto",     "Nairobi",    "Lima",    "Quebec",  "Prague",  "Tunis",   "Dublin",    "Havana",
     "Mumbai",   "Seville", "Krakow",    "Bergen",     "Hanoi",   "Accra",   "Turin",   "Osaka",   "Malmo",     "Perth",
     "Denver",   "Seattle", "Toronto",   "Montevideo", "Tbilisi", "Riga",    "Cork",    "Ghent",   "Graz",      "Porto",
     "Valencia", "Bologna", "Marseille", "Utrecht",    "Aarhus",  "Tampere", "Tallinn", "Vilnius", "Ljubljana", "Zagreb",
     "Izmir",    "Beirut",  "Cairo",     "Dakar",      "Kigali",  "Maputo",  "Durban",  "Jaipur",  "Colombo",   "Penang",
     "Cebu",     "Busan",   "Sapporo",   "Hobart",     "Dunedin", "Suva",    "Quito",   "Cusco",   "Rosario",   "Recife",
     "Oaxaca",   "Boston",  "Chicago",   "Portland",   "Austin",  "Winnipeg"});
constexpr auto kPlaces = std::to_array<sv>({"under the third stair",
                                            "behind the tannery",
                                            "in the old greenhouse",
                                            "on top of the wardrobe",
                                            "beneath the stone bridge",
                                            "inside a hollow oak",
                                            "in the cellar of the town hall",
                                            "beside the ferry landing",
                                            "at the back of the pantry",
                                            "in a tin box below the window",
                                            "between two beehives",
                                            "in the drawer of the writing desk",
                                            "under a loose floorboard",
                                            "behind the portrait of the mayor",
                                            "at the foot of the water tower",
                                            "in the attic of the school",
                                            "next to the coal shed",
                                            "in the left pocket of a raincoat",
                                            "on the highest shelf of the library",
                                            "below the altar of the chapel",
                                            "in the hayloft",
                                            "behind the waterfall",
                                            "in the trunk of a green car",
                                            "under the bandstand",
                                            "inside the grandfather clock",
                                            "at the bottom of the well",
                                            "in a crate marked with a fish",
                                            "on the window sill of the post office",
                                            "under the apple tree",
                                            "in the boathouse",
                                            "behind the stage curtain",
                                            "in the second drawer from the left",
                                            "inside a flower pot by the gate"});
constexpr auto kActivities = std::to_array<sv>({"walking along the old canal",
                                                "baking bread with honey",
                                                "painting the northern cliffs",
                                                "listening to a brass band",
                                                "reading under a chestnut tree",
                                                "rowing a small wooden boat",
                                                "flying a red kite",
                                                "drinking mint tea on a balcony",
                                                "feeding the grey pigeons",
                                                "repairing antique clocks",
                                                "singing in the rain",
                                                "climbing the stone tower",
                                                "watching ships at dawn",
                                                "playing chess with strangers",
                                                "eating grilled sardines",
                                                "sketching the cathedral",
                                                "riding a blue bicycle",
                                                "picking wild berries",
                                                "dancing until midnight",
                                                "sleeping in a hammock",
                                                "carving spoons out of birch",
                                                "collecting sea glass",
                                                "learning the accordion",
                                                "swimming in the cold lake",
                                                "telling ghost stories by the fire",
                                                "photographing empty stations",
                                                "planting lavender on the roof",
                                                "racing snails across the table",
                                                "sharing a bowl of noodles",
                                                "writing postcards to nobody",
                                                "polishing brass doorknobs",
                                                "skating on the frozen river",
                                                "counting falling stars",
                                                "tasting cheese at the market",
                                                "building castles out of sugar",
                                                "weaving baskets from willow",
                                                "chasing the last tram",
                                                "whistling to the blackbirds",
                                                "fishing from the breakwater",
                                                "roasting chestnuts in the square"});
constexpr auto kWhens = std::to_array<sv>({"on a cold morning",
                                           "in early spring",
                                           "after the long rain",
                                           "before the harvest",
                                           "late in the evening",
                                           "on a quiet Monday",
                                           "during the lantern festival",
                                           "when the fog lifts",
                                           "at the first snow",
                                           "on the last day of August",
                                           "while the shops are closed",
                                           "just before sunrise",
                                           "on the shortest day of the year",
                                           "once the tide goes out",
                                           "in the middle of winter",
                                           "whenever the moon is full",
                                           "after a heavy lunch",
                                           "on market days",
                                           "between two trains",
                                           "at half past nine"});
constexpr auto kColors = std::to_array<sv>({"crimson", "turquoise", "mustard yellow", "pale green", "navy blue", "ivory",
                                            "violet", "orange", "charcoal grey", "scarlet", "olive", "silver", "copper brown",
                                            "pink", "black", "white", "lilac", "amber"});
constexpr auto kMaterials =
    std::to_array<sv>({"walnut", "copper", "porcelain", "bamboo", "cast iron", "birch bark", "slate", "ivory", "leather", "glass",
                       "marble", "oak", "silk", "tin", "clay", "granite", "felt", "amber"});
constexpr auto kAnimals =
    std::to_array<sv>({"falcon", "tortoise", "goat", "parrot", "donkey", "greyhound", "hedgehog", "llama", "otter", "peacock",
                       "raven", "magpie", "badger", "iguana", "ferret", "swan", "camel", "mule"});
constexpr auto kFoods = std::to_array<sv>(
    {"a pinch of saffron", "two spoons of plum jam", "roasted walnuts", "a splash of vinegar", "grated horseradish",
     "smoked paprika",     "the zest of a lime",     "candied ginger",  "a glass of cider",    "crushed juniper berries",
     "black sesame",       "a slice of quince",      "cold buttermilk", "three bay leaves",    "burnt sugar",
     "pickled turnip",     "a knob of goose fat",    "dried figs",      "rose water",          "toasted barley"});
constexpr auto kTrades = std::to_array<sv>({"beekeeper",   "cartographer",      "glassblower", "locksmith",  "piano tuner",
                                            "diver",       "puppeteer",         "bookbinder",  "surveyor",   "vet",
                                            "tram driver", "botanist",          "cheesemaker", "clockmaker", "translator",
                                            "roofer",      "lighthouse keeper", "midwife",     "astronomer", "ferryman",
                                            "tailor",      "plumber",           "cellist",     "gardener",   "pilot"});
constexpr auto kClubs =
    std::to_array<sv>({"rowing club",    "chess society",    "choir",          "fire brigade",       "astronomy circle",
                       "film club",      "cycling union",    "bell ringers",   "reading circle",     "mountain rescue",
                       "fencing school", "puppet theatre",   "seed library",   "model railway club", "brass band",
                       "bowling team",   "debating society", "potters' guild", "sailing school",     "botanical society"});
constexpr auto kMonths = std::to_array<sv>(
    {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"});
constexpr auto kAdjectives = std::to_array<sv>({"finest", "oldest", "strangest", "quietest", "most beautiful", "most surprising",
                                                "cheapest", "loveliest", "bravest", "most peaceful", "most famous", "coldest",
                                                "noisiest", "most unusual", "sweetest", "happiest", "most memorable", "wisest"});
constexpr auto kKeyNouns = std::to_array<sv>(
    {"gate code",        "ticket number",     "invoice number",      "locker combination", "customs number", "catalogue number",
     "safe combination", "registration mark", "telephone extension", "order number",       "parcel number",  "membership number",
     "serial number",    "access code",       "reference number",    "room number",        "licence number", "archive number",
     "account number",   "lottery number",    "confirmation code",   "engine number",      "shipping code",  "case number",
     "badge number",     "flight number",     "alarm code",          "docket number",      "batch number",   "radio channel",
     "vault number",     "secret number",     "magic number",        "winning number",     "door code",      "password",
     "call number",      "station code",      "permit number",       "master code",        "hidden number",  "safety code"});
constexpr auto kReasons = std::to_array<sv>(
    {"the bridge was closed for repairs", "a goat had eaten the tickets", "the band needed a second drummer",
     "nobody had remembered the key", "the river had frozen overnight", "a famous tenor was singing at the opera",
     "the lamp had run out of oil", "a letter had arrived from the coast", "the mayor had promised a prize",
     "the old map turned out to be wrong", "the bakery had sold its last loaf", "it was the night of the comet",
     "the horse refused to cross the field", "the museum had lost the only copy", "a storm had taken the roof",
     "the doctor had ordered three days of rest", "all the umbrellas had been stolen", "the clock struck thirteen"});
constexpr auto kSayings =
    std::to_array<sv>({"a borrowed boat always leaks", "the moon keeps no diary", "count the chairs before you invite the guests",
                       "even a slow snail reaches the salad", "never argue with a closed door", "two lamps make one long shadow",
                       "whoever owns the bell owns the hour", "sugar forgets the spoon", "the best map is a dirty boot",
                       "a quiet dog knows the whole street", "leave the last plum for the wind", "rust is only patience",
                       "you cannot fold a river", "the tallest candle is the first to bend", "trust the cook with the thin knife",
                       "a hat is a roof that travels", "good soup needs bad weather", "the goat reads every fence"});
constexpr auto kStreets =
    std::to_array<sv>({"Cinnamon Lane", "Harbour Street", "Mill Road", "Weavers' Row", "Observatory Hill", "Copper Alley",
                       "Station Square", "Juniper Avenue", "Ropewalk", "Lindenstrasse", "Quay Street", "Foundry Lane",
                       "Orchard Terrace", "Gull Court", "Saffron Walk", "Tannery Yard", "Beacon Road", "Nettle Close"});

constexpr auto kHeadings = std::to_array<sv>(
    {"Read the following text carefully. Afterwards I will ask you about details in it.",
     "Below is a long text. Some facts have been added to it; find them and keep them in mind.",
     "Here is a long document. Questions follow at the end.",
     "There is a piece of information hidden inside the text below. Find it and remember it, because I will ask you about it.",
     "Please read this excerpt and then answer the question at its end.",
     "The text below holds some details that you will be asked about.",
     "I am going to give you a long passage. Somewhere in it is what I need to know.",
     "Study the passage. You will be quizzed on particular details afterwards.",
     "You are given a long context. Answer the question from the context only.",
     "Text for a reading test. Pay attention to small facts that do not belong to the story.",
     "What follows is part of a book into which a few other sentences have slipped. Memorize whatever looks out of place.",
     "Look for the relevant sentence in this document and answer from it.",
     "Long document ahead. Remember the facts, the numbers and the names in it.",
     "Something important is written somewhere in the following pages. Keep it in memory; a question about it comes last.",
     "Use the text to answer. Do not use anything that you know from elsewhere.",
     "Take the time to read everything. A short question comes after the text.",
     "Context:",
     "Document:",
     "Read this:",
     "Excerpt from a book, followed by a question."});
constexpr auto kHeadingQuestions =
    std::to_array<sv>({"Answer this question from the text below: {q}", "While you read, look for the answer to this: {q}",
                       "I would like to know the following. {q} The answer is somewhere in this text.",
                       "Question: {q}\nThe text comes now.", "Find the answer in the document. {q}"});
constexpr auto kOpens = std::to_array<sv>({"\n", "\n\n", "\n\n", "\n\n", "\n---\n", "\n\n***\n\n", "\n\"\"\"\n", "\n\nText:\n"});
constexpr auto kAsks = std::to_array<sv>({"\n\n", "\n\n", "\n\n", "\n\n", "\n\n", "\n\nQuestion: ", "\n\n---\n\n", "\n\n***\n\n",
                                          "\n\nNow the question. ", "\n\nThat was the text. ", "\n\nQ: ", "\n"});
constexpr auto kAskPrefixes =
    std::to_array<sv>({"According to the text, {q}", "From the text above: {q}", "Tell me, {q}", "Look it up in the text: {q}",
                       "As the document states, {q}", "Based on what you have read, {q}"});
constexpr auto kAnswerCues = std::to_array<sv>({"\nAnswer:", "\nAnswer:", "\nAnswer:", "\nA:", "\n\nAnswer:", "\nYour answer:"});
constexpr auto kRemembers =
    std::to_array<sv>({"Remember it.", "Keep it in mind.", "Do not forget it.", "Make a note of that.", "This matters.",
                       "Please remember this.", "Somebody will ask about it.", "Write it down."});

constexpr auto kForbidden =
    std::to_array<sv>({"best thing to do in", "dolores park", "pass key", "passkey", "pass-key", "hamburg",
                       "important infomation", "infomation", "i will quiz you about the important information",
                       "the grass is green. the sky is blue", "here we go. there and back again"});

bool is_vowel(char c) { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u'; }

}  // namespace

std::span<const std::string_view> words_of(WordList list) {
  switch (list) {
    case WordList::kName: return kNames;
    case WordList::kThing: return kThings;
    case WordList::kCity: return kCities;
    case WordList::kPlace: return kPlaces;
    case WordList::kActivity: return kActivities;
    case WordList::kWhen: return kWhens;
    case WordList::kColor: return kColors;
    case WordList::kMaterial: return kMaterials;
    case WordList::kAnimal: return kAnimals;
    case WordList::kFood: return kFoods;
    case WordList::kTrade: return kTrades;
    case WordList::kClub: return kClubs;
    case WordList::kMonth: return kMonths;
    case WordList::kAdjective: return kAdjectives;
    case WordList::kKeyNoun: return kKeyNouns;
    case WordList::kReason: return kReasons;
    case WordList::kSaying: return kSayings;
    case WordList::kStreet: return kStreets;
  }
  TENFOLD_CHECK(false, "word list {}", static_cast<int>(list));
  return {};
}

std::span<const std::string_view> phrases_of(Phrase phrase) {
  switch (phrase) {
    case Phrase::kHeading: return kHeadings;
    case Phrase::kHeadingQuestion: return kHeadingQuestions;
    case Phrase::kOpen: return kOpens;
    case Phrase::kAsk: return kAsks;
    case Phrase::kAskPrefix: return kAskPrefixes;
    case Phrase::kAnswerCue: return kAnswerCues;
    case Phrase::kRemember: return kRemembers;
  }
  TENFOLD_CHECK(false, "phrase {}", static_cast<int>(phrase));
  return {};
}

std::span<const std::string_view> forbidden_phrases() { return kForbidden; }

bool has_forbidden_phrase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(kForbidden.begin(), kForbidden.end(), [&](sv phrase) { return lower.find(phrase) != std::string::npos; });
}

std::vector<std::string_view> alternatives(std::string_view shapes) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t bar = shapes.find('|');
    out.push_back(shapes.substr(0, bar));
    if (bar == sv::npos) return out;
    shapes.remove_prefix(bar + 1);
  }
}

std::string_view pick_alternative(Rng& rng, std::string_view shapes) { return rng.pick(alternatives(shapes)); }

std::string with_article(std::string_view word) {
  const bool vowel = !word.empty() && is_vowel(static_cast<char>(std::tolower(static_cast<unsigned char>(word[0]))));
  return std::string(vowel ? "an " : "a ") + std::string(word);
}

std::string capitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[0])));
  return out;
}

std::string uncapitalized(std::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
  return out;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  while (true) {
    const size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == sv::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

}  // namespace tenfold
