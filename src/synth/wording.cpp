#include "synth/wording.h"

#include "core/error.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr auto kNames = std::to_array<sv>(
    {"Ada",      "Boris",    "Chiara",    "Dmitri",  "Eszter",    "Farid",     "Greta",      "Hugo",       "Ines",
     "Jonas",    "Keiko",    "Lars",      "Mira",    "Nadia",     "Omar",      "Paola",      "Quentin",    "Rosa",
     "Sven",     "Tamsin",   "Umar",      "Vera",    "Wanda",     "Yusuf",     "Zoe",        "Amara",      "Bruno",
     "Carmen",   "Dario",    "Esme",      "Femi",    "Gustav",    "Hana",      "Imran",      "Jolanta",    "Kofi",
     "Leila",    "Matteo",   "Noor",      "Oskar",   "Priya",     "Ravi",      "Saskia",     "Tomas",      "Ulrike",
     "Viktor",   "Winston",  "Xenia",     "Yara",    "Zoltan",    "Anouk",     "Bashir",     "Celeste",    "Desmond",
     "Elif",     "Fiona",    "Goran",     "Hilde",   "Ivo",       "Jasmin",    "Kwame",      "Lucia",      "Marek",
     "Nils",     "Odile",    "Pavel",     "Rashid",  "Signe",     "Teodor",    "Uma",        "Agnes",      "Ambrose",
     "Anselm",   "Astrid",   "Benedikt",  "Bettina", "Blanca",    "Caspar",    "Cecilia",    "Cyril",      "Dagny",
     "Delphine", "Edgar",    "Ekaterina", "Emil",    "Enzo",      "Ernestine", "Fabian",     "Felicity",   "Florian",
     "Gemma",    "Gideon",   "Gwen",      "Hamid",   "Harriet",   "Henrik",    "Ichiro",     "Ilse",       "Ingrid",
     "Isidor",   "Jacinta",  "Jerome",    "Josefa",  "Julius",    "Katarina",  "Klaus",      "Konstantin", "Lavinia",
     "Leopold",  "Linus",    "Lorenzo",   "Magnus",  "Malika",    "Marta",     "Maximilian", "Meera",      "Milos",
     "Monique",  "Natalia",  "Nikolai",   "Olga",    "Orla",      "Osman",     "Patrice",    "Petra",      "Philippa",
     "Rafael",   "Rebecca",  "Rudolf",    "Samira",  "Sebastian", "Stefania",  "Sylvester",  "Tatiana",    "Theo",
     "Ursula",   "Valentin", "Violet",    "Walter",  "Yolanda"});
constexpr auto kThings = std::to_array<sv>({"lantern",
                                            "violin",
                                            "compass",
                                            "teapot",
                                            "saddle",
                                            "mirror",
                                            "anvil",
                                            "pillow",
                                            "ribbon",
                                            "trumpet",
                                            "ladder",
                                            "barrel",
                                            "engine",
                                            "basket",
                                            "candle",
                                            "carpet",
                                            "helmet",
                                            "saucer",
                                            "wagon",
                                            "camera",
                                            "telescope",
                                            "umbrella",
                                            "hammock",
                                            "kettle",
                                            "chessboard",
                                            "accordion",
                                            "typewriter",
                                            "bicycle",
                                            "sundial",
                                            "lighthouse",
                                            "canoe",
                                            "harp",
                                            "globe",
                                            "suitcase",
                                            "microscope",
                                            "clock",
                                            "statue",
                                            "tapestry",
                                            "fountain",
                                            "windmill",
                                            "piano",
                                            "rowing boat",
                                            "printing press",
                                            "cabinet",
                                            "carousel",
                                            "drum",
                                            "easel",
                                            "furnace",
                                            "generator",
                                            "bellows",
                                            "icebox",
                                            "jukebox",
                                            "kiln",
                                            "loom",
                                            "mosaic",
                                            "net",
                                            "organ",
                                            "parachute",
                                            "quilt",
                                            "radio",
                                            "sewing machine",
                                            "tractor",
                                            "vase",
                                            "weather vane",
                                            "xylophone",
                                            "yacht",
                                            "submarine",
                                            "hot-air balloon",
                                            "glider",
                                            "snow globe",
                                            "abacus",
                                            "aquarium",
                                            "armchair",
                                            "bagpipe",
                                            "barometer",
                                            "bathtub",
                                            "billiard table",
                                            "birdcage",
                                            "bookcase",
                                            "bracelet",
                                            "cash register",
                                            "cello",
                                            "chandelier",
                                            "coffee grinder",
                                            "crystal ball",
                                            "cuckoo clock",
                                            "dictionary",
                                            "diving bell",
                                            "doll's house",
                                            "drawbridge",
                                            "egg timer",
                                            "fire engine",
                                            "fishing rod",
                                            "flute",
                                            "footstool",
                                            "gramophone",
                                            "guitar",
                                            "hairbrush",
                                            "hourglass",
                                            "hymn book",
                                            "inkwell",
                                            "jewel box",
                                            "kaleidoscope",
                                            "kayak",
                                            "lawnmower",
                                            "lute",
                                            "magic lantern",
                                            "mandolin",
                                            "marionette",
                                            "metronome",
                                            "money box",
                                            "motorcycle",
                                            "music box",
                                            "nutcracker",
                                            "oboe",
                                            "orchid",
                                            "paperweight",
                                            "periscope",
                                            "pocket watch",
                                            "pulpit",
                                            "puppet",
                                            "raft",
                                            "rocking chair",
                                            "roulette wheel",
                                            "sarcophagus",
                                            "scarecrow",
                                            "sledge",
                                            "spinning wheel",
                                            "stained-glass window",
                                            "stopwatch",
                                            "stove",
                                            "surfboard",
                                            "sword",
                                            "tambourine",
                                            "tent",
                                            "toboggan",
                                            "trombone",
                                            "trunk",
                                            "turntable",
                                            "unicycle",
                                            "wardrobe",
                                            "washing machine",
                                            "water wheel",
                                            "wig",
                                            "wooden leg",
                                            "zither"});
constexpr auto kCities = std::to_array<sv>(
    {"Lisbon",    "Oslo",      "Kyoto",     "Nairobi",   "Lima",    "Quebec",     "Prague",     "Tunis",    "Dublin",
     "Havana",    "Mumbai",    "Seville",   "Krakow",    "Bergen",  "Hanoi",      "Accra",      "Turin",    "Osaka",
     "Malmo",     "Perth",     "Denver",    "Seattle",   "Toronto", "Montevideo", "Tbilisi",    "Riga",     "Cork",
     "Ghent",     "Graz",      "Porto",     "Valencia",  "Bologna", "Marseille",  "Utrecht",    "Aarhus",   "Tampere",
     "Tallinn",   "Vilnius",   "Ljubljana", "Zagreb",    "Izmir",   "Beirut",     "Cairo",      "Dakar",    "Kigali",
     "Maputo",    "Durban",    "Jaipur",    "Colombo",   "Penang",  "Cebu",       "Busan",      "Sapporo",  "Hobart",
     "Dunedin",   "Suva",      "Quito",     "Cusco",     "Rosario", "Recife",     "Oaxaca",     "Boston",   "Chicago",
     "Portland",  "Austin",    "Winnipeg",  "Adelaide",  "Antwerp", "Arequipa",   "Asmara",     "Bamako",   "Basel",
     "Belgrade",  "Bilbao",    "Brno",      "Bucharest", "Bukhara", "Calgary",    "Casablanca", "Cardiff",  "Cordoba",
     "Darwin",    "Dresden",   "Edinburgh", "Fez",       "Galway",  "Gdansk",     "Genoa",      "Granada",  "Guadalajara",
     "Halifax",   "Hanover",   "Innsbruck", "Jakarta",   "Kampala", "Kathmandu",  "Kaunas",     "Khartoum", "La Paz",
     "Lahore",    "Leipzig",   "Limerick",  "Luanda",    "Lyon",    "Madras",     "Manila",     "Medellin", "Minsk",
     "Mombasa",   "Nagoya",    "Nancy",     "Odessa",    "Palermo", "Patras",     "Plovdiv",    "Rangoon",  "Reykjavik",
     "Rotterdam", "Salamanca", "Samarkand", "Sarajevo",  "Sofia",   "Taipei",     "Tirana",     "Trieste",  "Turku",
     "Uppsala",   "Varna",     "Windhoek",  "York",      "Zanzibar"});
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
                                            "inside a flower pot by the gate",
                                            "behind the bread oven",
                                            "in a hole under the doormat",
                                            "on the roof of the brewery",
                                            "beneath the billiard table",
                                            "inside the church organ",
                                            "in a violin case",
                                            "under the seat of the tram",
                                            "behind the third row of barrels",
                                            "in the glove compartment",
                                            "at the end of the pier",
                                            "inside an empty beehive",
                                            "in a cupboard full of maps",
                                            "between the pages of an atlas",
                                            "in the lion's cage",
                                            "below the diving board",
                                            "in the lining of a fur coat",
                                            "beside the sundial",
                                            "in the crypt of the abbey",
                                            "inside a stuffed pike",
                                            "in the basket of a balloon",
                                            "at the top of the lighthouse",
                                            "under a heap of coal",
                                            "in the bottom drawer of the dresser",
                                            "behind the grandstand"});
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
                                                "roasting chestnuts in the square",
                                                "mending fishing nets",
                                                "catching fireflies in a jar",
                                                "juggling oranges",
                                                "translating old letters",
                                                "sharpening pencils",
                                                "steering a hot-air balloon",
                                                "hunting for truffles",
                                                "polishing telescopes",
                                                "printing banknotes for fun",
                                                "reciting long poems",
                                                "milking a stubborn goat",
                                                "rolling barrels downhill",
                                                "sewing sails",
                                                "learning to yodel",
                                                "carving a chess set",
                                                "tracing old maps",
                                                "blowing soap bubbles",
                                                "selling roses to tourists",
                                                "digging for amber",
                                                "rehearsing a farewell speech"});
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
constexpr auto kAnimals = std::to_array<sv>(
    {"falcon",    "tortoise", "goat",      "parrot",  "donkey",     "greyhound", "hedgehog",  "llama",     "otter",
     "peacock",   "raven",    "magpie",    "badger",  "iguana",     "ferret",    "swan",      "camel",     "mule",
     "albatross", "antelope", "armadillo", "beaver",  "buffalo",    "chameleon", "cockatoo",  "crocodile", "dachshund",
     "flamingo",  "gazelle",  "heron",     "hyena",   "kingfisher", "lemur",     "lynx",      "marmot",    "mongoose",
     "ostrich",   "owl",      "panther",   "pelican", "penguin",    "pheasant",  "porcupine", "reindeer",  "salamander",
     "seal",      "squirrel", "stork",     "tapir",   "walrus",     "wolf",      "yak",       "zebra"});
constexpr auto kFoods = std::to_array<sv>({"a pinch of saffron",
                                           "two spoons of plum jam",
                                           "roasted walnuts",
                                           "a splash of vinegar",
                                           "grated horseradish",
                                           "smoked paprika",
                                           "the zest of a lime",
                                           "candied ginger",
                                           "a glass of cider",
                                           "crushed juniper berries",
                                           "black sesame",
                                           "a slice of quince",
                                           "cold buttermilk",
                                           "three bay leaves",
                                           "burnt sugar",
                                           "pickled turnip",
                                           "a knob of goose fat",
                                           "dried figs",
                                           "rose water",
                                           "toasted barley",
                                           "a jar of marmalade",
                                           "a wheel of cheddar",
                                           "a bowl of lentils",
                                           "a string of onions",
                                           "fresh coriander",
                                           "a tin of anchovies",
                                           "two loaves of rye bread",
                                           "smoked eel",
                                           "a pot of mustard",
                                           "warm gingerbread",
                                           "a sack of chestnuts",
                                           "green olives",
                                           "a cup of barley soup",
                                           "boiled beetroot",
                                           "a slab of nougat",
                                           "caraway seeds",
                                           "a ladle of gravy",
                                           "white asparagus",
                                           "a dish of mussels",
                                           "sour cherries",
                                           "a pinch of nutmeg",
                                           "whipped cream",
                                           "a plate of dumplings",
                                           "pumpkin seeds"});
constexpr auto kTrades = std::to_array<sv>({"beekeeper",
                                            "cartographer",
                                            "glassblower",
                                            "locksmith",
                                            "piano tuner",
                                            "diver",
                                            "puppeteer",
                                            "bookbinder",
                                            "surveyor",
                                            "vet",
                                            "tram driver",
                                            "botanist",
                                            "cheesemaker",
                                            "clockmaker",
                                            "translator",
                                            "roofer",
                                            "lighthouse keeper",
                                            "midwife",
                                            "astronomer",
                                            "ferryman",
                                            "tailor",
                                            "plumber",
                                            "cellist",
                                            "gardener",
                                            "pilot",
                                            "baker",
                                            "barber",
                                            "blacksmith",
                                            "brewer",
                                            "bricklayer",
                                            "chemist",
                                            "cobbler",
                                            "conductor",
                                            "dentist",
                                            "detective",
                                            "falconer",
                                            "farmer",
                                            "fishmonger",
                                            "florist",
                                            "geologist",
                                            "goldsmith",
                                            "harbour pilot",
                                            "interpreter",
                                            "jeweller",
                                            "judge",
                                            "juggler",
                                            "librarian",
                                            "magician",
                                            "miller",
                                            "notary",
                                            "optician",
                                            "painter",
                                            "pastry cook",
                                            "photographer",
                                            "postmistress",
                                            "printer",
                                            "sculptor",
                                            "shepherd",
                                            "stonemason",
                                            "tattooist",
                                            "taxidermist",
                                            "tinsmith",
                                            "undertaker",
                                            "watchman",
                                            "weaver",
                                            "weightlifter",
                                            "zookeeper"});
constexpr auto kClubs = std::to_array<sv>(
    {"rowing club",       "chess society",         "choir",           "fire brigade",       "astronomy circle",
     "film club",         "cycling union",         "bell ringers",    "reading circle",     "mountain rescue",
     "fencing school",    "puppet theatre",        "seed library",    "model railway club", "brass band",
     "bowling team",      "debating society",      "potters' guild",  "sailing school",     "botanical society",
     "allotment society", "amateur dramatic club", "archery club",    "bicycle polo team",  "book club",
     "caving club",       "curling team",          "dance troupe",    "diving club",        "gliding club",
     "history society",   "ice hockey team",       "jazz band",       "karate school",      "kite club",
     "madrigal singers",  "mushroom society",      "quilting circle", "rowing eight",       "skating club",
     "stamp society",     "string quartet",        "tennis club",     "tug-of-war team",    "volunteer ambulance",
     "walking club",      "wrestling school",      "yacht club"});
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
constexpr auto kReasons = std::to_array<sv>({"the bridge was closed for repairs",
                                             "a goat had eaten the tickets",
                                             "the band needed a second drummer",
                                             "nobody had remembered the key",
                                             "the river had frozen overnight",
                                             "a famous tenor was singing at the opera",
                                             "the lamp had run out of oil",
                                             "a letter had arrived from the coast",
                                             "the mayor had promised a prize",
                                             "the old map turned out to be wrong",
                                             "the bakery had sold its last loaf",
                                             "it was the night of the comet",
                                             "the horse refused to cross the field",
                                             "the museum had lost the only copy",
                                             "a storm had taken the roof",
                                             "the doctor had ordered three days of rest",
                                             "all the umbrellas had been stolen",
                                             "the clock struck thirteen",
                                             "the telegraph line was down",
                                             "a swarm of wasps had moved in",
                                             "the cook had fallen ill",
                                             "the ship had sailed a day early",
                                             "somebody had painted the signposts over",
                                             "the roof was leaking",
                                             "the general had changed his mind",
                                             "the price of wool had doubled",
                                             "the piano was out of tune",
                                             "the whole street had been flooded",
                                             "a bear had been seen nearby",
                                             "the inspector was expected at noon",
                                             "the last candle had burned down",
                                             "the twins had lost their passports",
                                             "the road was covered with ice",
                                             "the theatre had burned to the ground",
                                             "a wheel had come off the coach",
                                             "nobody could read the inscription",
                                             "the judge had fallen asleep",
                                             "the parrot kept repeating the password",
                                             "the choir had lost its tenor",
                                             "the tide had come in too soon",
                                             "the ink had faded",
                                             "a stranger had paid the bill"});
constexpr auto kSayings = std::to_array<sv>({"a borrowed boat always leaks",
                                             "the moon keeps no diary",
                                             "count the chairs before you invite the guests",
                                             "even a slow snail reaches the salad",
                                             "never argue with a closed door",
                                             "two lamps make one long shadow",
                                             "whoever owns the bell owns the hour",
                                             "sugar forgets the spoon",
                                             "the best map is a dirty boot",
                                             "a quiet dog knows the whole street",
                                             "leave the last plum for the wind",
                                             "rust is only patience",
                                             "you cannot fold a river",
                                             "the tallest candle is the first to bend",
                                             "trust the cook with the thin knife",
                                             "a hat is a roof that travels",
                                             "good soup needs bad weather",
                                             "the goat reads every fence",
                                             "the oldest key opens the smallest door",
                                             "no river asks the way",
                                             "a full bucket makes no noise",
                                             "the fox never praises the fence",
                                             "do not lend your ladder to the moon",
                                             "every soup remembers its bones",
                                             "the wind signs no contracts",
                                             "a slow mill still grinds",
                                             "paint the boat before you name it",
                                             "who counts clouds goes home wet",
                                             "the last guest washes the cups",
                                             "a short rope ties few horses"});
constexpr auto kStreets = std::to_array<sv>(
    {"Cinnamon Lane",   "Harbour Street", "Mill Road",       "Weavers' Row",       "Observatory Hill", "Copper Alley",
     "Station Square",  "Juniper Avenue", "Ropewalk",        "Lindenstrasse",      "Quay Street",      "Foundry Lane",
     "Orchard Terrace", "Gull Court",     "Saffron Walk",    "Tannery Yard",       "Beacon Road",      "Nettle Close",
     "Lantern Street",  "Wharf Road",     "Butchers' Row",   "Chapel Hill",        "Glassworks Lane",  "Almond Avenue",
     "Market Passage",  "Swan Alley",     "Old Mint Road",   "Brickfield Terrace", "Parrot Lane",      "Windmill Way",
     "Vinegar Yard",    "Acacia Grove",   "Tollgate Street", "Horseshoe Court"});

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
