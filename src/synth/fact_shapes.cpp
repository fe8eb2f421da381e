#include "synth/fact_shapes.h"

#include <array>

namespace tenfold {
namespace {

using sv = std::string_view;

constexpr auto kNumbers = std::to_array<FactShape>({
    {6,
     "The {key} is {number}. {number} is the {key}.|{number} is the {key}. Once more: the {key} is {number}.|The {key} is "
     "{number}.|"
     "Here is the {key}: {number}. Remember, {number} is the {key}.|They changed the {key}. It is {number} now.",
     "What is the {key}?;What is the {key} that the text gives?;Tell me the {key}.;Write down the {key}.;Do you recall the {key}?"
     "#The {key} is {number}.#{number}"},
    {4,
     "The {key} of the {thing} is {number}.|The {thing} has the {key} {number}. That is, {number} is its {key}.|"
     "{number} is the {key} of the {thing}. The {key} of the {thing} is {number}.",
     "What is the {key} of the {thing}?;Which {key} does the {thing} have?;Give me the {key} of the {thing}."
     "#The {key} of the {thing} is {number}.#{number}"},
    {4,
     "The {key} of the {thing} in {city} is {number}.|In {city}, the {thing} has the {key} {number}.|"
     "Anyone in {city} who asks for the {key} of the {thing} is told {number}.",
     "What is the {key} of the {thing} in {city}?;In {city}, what is the {key} of the {thing}?;Which {key} does the {thing} in "
     "{city} have?"
     "#The {key} of the {thing} in {city} is {number}.#{number}"},
    {3,
     "{name} chose {number} as the {key}.|The {key} that {name} was given is {number}.|{name}'s {key} is {number}. Remember "
     "{number}.",
     "What is {name}'s {key}?;Which {key} belongs to {name}?;What {key} does {name} have?#{name}'s {key} is {number}.#{number}"},
    {2, "{name}'s number at the {club} is {number}.|At the {club} they know {name} as number {number}.",
     "What is {name}'s number at the {club}?;Which number does {name} have at the {club}?#{name}'s number at the {club} is "
     "{number}.#{number}"},
    {2,
     "The book about the {thing} stands under the mark {code}.|Ask the librarian for {code} if you want the book about the "
     "{thing}.",
     "Under which mark does the book about the {thing} stand?;What mark does the book about the {thing} carry?"
     "#The book about the {thing} stands under the mark {code}.#{code}"},
    {2, "{name} signs every letter with the code {code}.|Letters from {name} always end with the code {code}.",
     "With which code does {name} sign letters?;What code stands under every letter from {name}?#{name} signs every letter with "
     "the code {code}.#{code}"},
    {2, "The agents in {city} call the {thing} {code}.|{code} is what the agents in {city} call the {thing}.",
     "What do the agents in {city} call the {thing}?;By which code do the agents in {city} know the {thing}?"
     "#The agents in {city} call the {thing} {code}.#{code}"},
    {2, "To open the {thing} in {city}, turn the dial to {dial}.|The dial of the {thing} in {city} opens at {dial}.",
     "To what must the dial be turned to open the {thing} in {city}?;How is the {thing} in {city} opened?"
     "#To open the {thing} in {city}, turn the dial to {dial}.#{dial}"},
    {2, "The tower of {city} has exactly {number} steps.|Whoever climbs the tower of {city} counts {number} steps.",
     "How many steps does the tower of {city} have?;How many steps are there in the tower of {city}?#The tower of {city} has "
     "{number} steps.#{number}"},
    {2, "The train from {city} to {city2} leaves at {time}.|At {time} the train to {city2} leaves {city}.",
     "When does the train from {city} to {city2} leave?;At what time does the train leave {city} for {city2}?"
     "#The train from {city} to {city2} leaves at {time}.#{time}|"
     "Where does the train that leaves {city} at {time} go?#It goes to {city2}.#{city2}"},
    {2,
     "{A:thing} costs {price} in {city}.|In {city} the price of {a:thing} is {price}.|You pay {price} for {a:thing} in {city}.",
     "How much does {a:thing} cost in {city}?;What is the price of {a:thing} in {city}?#{A:thing} costs {price} in "
     "{city}.#{price}"},
    {1, "The {thing} works of {city} was founded in {year}.|In {year}, the {thing} works of {city} was founded.",
     "In which year was the {thing} works of {city} founded?;When was the {thing} works of {city} founded?"
     "#The {thing} works of {city} was founded in {year}.#{year}"},
    {1, "{name} won the election of the {club} with {number} votes.|With {number} votes, {name} was elected head of the {club}.",
     "With how many votes did {name} win the election of the {club}?;How many people of the {club} voted for {name}?"
     "#{name} won the election of the {club} with {number} votes.#{number}|"
     "Who won the election of the {club}?#{name} won the election of the {club}.#{name}"},
    {2, "You can reach {name} on {phone}.|{name}'s telephone number is {phone}. Call {phone} to speak to {name}.",
     "What is {name}'s telephone number?;On which number can {name} be reached?#{name}'s telephone number is {phone}.#{phone}"},
    {1, "{name} lives at {small} {street}, {city}.|The house of {name} is number {small}, {street}, in {city}.",
     "At which address does {name} live?;Where exactly does {name} live?#{name} lives at {small} {street}, {city}.#{small} "
     "{street}, {city}"},
    {1, "The {thing} of {name} weighs {small} kilograms.|{name} put the {thing} on the scales: {small} kilograms.",
     "How much does the {thing} of {name} weigh?#The {thing} of {name} weighs {small} kilograms.#{small} kilograms"},
    {2, "Box {code} in {city} belongs to {name}.|In {city}, {name} rents box {code}.",
     "Which box in {city} belongs to {name}?;What box does {name} rent in {city}?#Box {code} in {city} belongs to {name}.#{code}|"
     "To whom does box {code} in {city} belong?;Who rents box {code}?#Box {code} in {city} belongs to {name}.#{name}"},
    {2, "When the {thing} breaks, type {number} and wait.|If the {thing} stops, the repair number is {number}.",
     "What should be typed when the {thing} breaks?;Which repair number belongs to the {thing}?#The repair number of the {thing} "
     "is {number}.#{number}"},
    {1, "From {city} to {city2} the messenger counted {number} paces.",
     "How many paces did the messenger count from {city} to {city2}?#The messenger counted {number} paces from {city} to "
     "{city2}.#{number}"},
});

constexpr auto kWords = std::to_array<FactShape>({
    {3,
     "The {adjective} thing that {name} ever did in {city} was {activity} {when}.|In {city}, the {adjective} thing {name} did "
     "was {activity} {when}.",
     "What was the {adjective} thing that {name} ever did in {city}?;What did {name} do in {city} that was the {adjective}?"
     "#The {adjective} thing that {name} ever did in {city} was {activity} {when}.#{C:activity} {when}"},
    {3,
     "The {adjective} way to spend a day in {city} is {activity} {when}.|If you ask the people of {city}, the {adjective} way to "
     "spend a day is {activity} {when}.",
     "What is the {adjective} way to spend a day in {city}?;How should one spend a day in {city}?"
     "#The {adjective} way to spend a day in {city} is {activity} {when}.#{C:activity} {when}"},
    {2,
     "The {adjective} {thing} in {city} is made of {material} and belongs to {a:trade} named {name}.|"
     "{name} is {a:trade} and owns the {adjective} {thing} in {city}, which is made of {material}.",
     "What is the {adjective} {thing} in {city} made of?#The {adjective} {thing} in {city} is made of {material}.#{C:material}|"
     "Who owns the {adjective} {thing} in {city}?;To whom does the {adjective} {thing} in {city} belong?"
     "#The {adjective} {thing} in {city} belongs to {a:trade} named {name}.#{name}"},
    {2, "{name} hid the {thing} {place}.|The {thing} is {place}, where {name} hid it.",
     "Where did {name} hide the {thing}?;Where is the {thing} that {name} hid?;Where should I look for the {thing}?#{name} hid "
     "the {thing} {place}.#{C:place}"},
    {2,
     "Every year the {club} of {city} celebrates by {activity}.|{C:activity}: that is how the {club} of {city} celebrates every "
     "year.",
     "How does the {club} of {city} celebrate every year?;What does the {club} of {city} do to celebrate?"
     "#Every year the {club} of {city} celebrates by {activity}.#By {activity}"},
    {2, "{name} missed the boat to {city} because {reason}.|Because {reason}, {name} missed the boat to {city}.",
     "Why did {name} miss the boat to {city}?;For what reason did {name} miss the boat to {city}?"
     "#{name} missed the boat to {city} because {reason}.#Because {reason}"},
    {2, "The secret of {name}'s soup is {food}.|{name} puts {food} into the soup and tells nobody.",
     "What is the secret of {name}'s soup?;What does {name} put into the soup?#The secret of {name}'s soup is {food}.#{C:food}"},
    {2, "As a child, {name} wanted to become {a:trade}.|{name} dreamed of becoming {a:trade} when still a child.",
     "What did {name} want to become as a child?;Which profession did {name} dream of as a child?#As a child, {name} wanted to "
     "become {a:trade}.#{A:trade}"},
    {2, "{name} the {trade} keeps {a:animal} called {name2}.|{name2} is the name of the {animal} that {name} the {trade} keeps.",
     "What is the name of the {animal} that {name} keeps?;How is {name}'s {animal} called?#{name}'s {animal} is called "
     "{name2}.#{name2}|"
     "What kind of animal is {name2}?;Which animal does {name} the {trade} keep?#{name2} is {a:animal}.#{A:animal}"},
    {2, "The motto of the {club} in {city} is: {saying}.|\"{C:saying}\" is the motto of the {club} in {city}.",
     "What is the motto of the {club} in {city}?;Which motto does the {club} in {city} have?#The motto of the {club} in {city} "
     "is: {saying}.#{C:saying}"},
    {2, "\"{C:saying},\" said {name} to the {trade}.|{name} turned to the {trade} and said: \"{C:saying}.\"",
     "What did {name} say to the {trade}?;Which words did the {trade} hear from {name}?#{name} said to the {trade}: "
     "\"{C:saying}.\"#{C:saying}"},
    {2,
     "The {thing} on the main square of {city} was painted {color} in {month}.|In {month} the people of {city} painted the "
     "{thing} on the main square {color}.",
     "What colour is the {thing} on the main square of {city}?;In which colour was the {thing} in {city} painted?"
     "#The {thing} on the main square of {city} was painted {color}.#{C:color}|"
     "When was the {thing} on the main square of {city} painted?#The {thing} on the main square of {city} was painted in "
     "{month}.#In {month}"},
    {2, "{name} likes {activity} better than anything else.|Nothing pleases {name} more than {activity}.",
     "What does {name} like better than anything else?;What pleases {name} the most?#{name} likes {activity} better than "
     "anything else.#{C:activity}"},
    {2, "A rule in {city} says that anyone caught {activity} must buy {a:thing} for the mayor.",
     "What must anyone caught {activity} in {city} buy for the mayor?#Anyone caught {activity} in {city} must buy {a:thing} for "
     "the mayor.#{A:thing}|"
     "For what must one buy {a:thing} in {city}?#In {city} anyone caught {activity} must buy {a:thing} for the mayor.#For "
     "{activity}"},
    {2, "{name} met {name2} in {city} {when}.|It was {when} that {name} met {name2} in {city}.",
     "Whom did {name} meet in {city}?#{name} met {name2} in {city}.#{name2}|"
     "Where did {name} meet {name2}?;In which city did {name} and {name2} meet?#{name} met {name2} in {city}.#In {city}"},
    {2,
     "Against a cough, the people of {city} take {food} {when}.|The people of {city} swear by {food}, taken {when}, against a "
     "cough.",
     "What do the people of {city} take against a cough?;How is a cough treated in {city}?#Against a cough, the people of {city} "
     "take {food} {when}.#{C:food}"},
    {2, "{name} won the first prize of {city} for {activity}.|The first prize of {city} went to {name} for {activity}.",
     "For what did {name} win the first prize of {city}?#{name} won the first prize of {city} for {activity}.#For {activity}|"
     "Who won the first prize of {city}?#{name} won the first prize of {city}.#{name}"},
    {2, "The {club} meets {place} {when}.|If you want to see the {club}, go {when}: they meet {place}.",
     "Where does the {club} meet?#The {club} meets {place}.#{C:place}|When does the {club} meet?#The {club} meets "
     "{when}.#{C:when}"},
    {2, "Whoever loses {a:thing} in {city} should ask {name} the {trade}.|{name}, {a:trade} of {city}, finds every lost {thing}.",
     "Whom should one ask after losing {a:thing} in {city}?;Who in {city} can find a lost {thing}?"
     "#Whoever loses {a:thing} in {city} should ask {name} the {trade}.#{name} the {trade}"},
    {2, "{name} gave away the {thing} and got {a:thing2} for it.|In exchange for the {thing}, {name} received {a:thing2}.",
     "What did {name} get for the {thing}?;What did {name} receive in exchange for the {thing}?#{name} got {a:thing2} for the "
     "{thing}.#{A:thing2}"},
    {1, "Ever since the fair in {city}, {name} has been afraid of {animal}s.",
     "What is {name} afraid of?;Of which animals has {name} been afraid since the fair in {city}?"
     "#Ever since the fair in {city}, {name} has been afraid of {animal}s.#{C:animal}s"},
    {2,
     "The word that opens the door of the {club} is \"{thing}\".|Say \"{thing}\" at the door of the {club} and they will let you "
     "in.",
     "Which word opens the door of the {club}?;What must one say at the door of the {club}?#The word that opens the door of the "
     "{club} is \"{thing}\".#\"{C:thing}\""},
    {2, "In {city}, {a:color} flag means that somebody is {activity}.",
     "What does {a:color} flag mean in {city}?;How do you read {a:color} flag in {city}?#In {city}, {a:color} flag means that "
     "somebody is {activity}.#Somebody is {activity}"},
    {2,
     "{name} inherited {a:thing} made of {material} from an aunt in {city}.|An aunt in {city} left {name} {a:thing} made of "
     "{material}.",
     "What did {name} inherit from an aunt in {city}?#{name} inherited {a:thing} made of {material}.#{A:thing} made of "
     "{material}|"
     "Where did the aunt live from whom {name} inherited {a:thing}?#The aunt lived in {city}.#In {city}"},
    {2, "Travellers who come to {city} {when} are given {food}.",
     "What are travellers given who come to {city} {when}?;What do travellers get in {city}?#Travellers who come to {city} "
     "{when} are given {food}.#{C:food}"},
    {2,
     "The will of {name} leaves the {thing} to {name2}.|{name2} will have the {thing} one day, for so it stands in the will of "
     "{name}.",
     "To whom does the will of {name} leave the {thing}?;Who gets the {thing} by the will of {name}?#The will of {name} leaves "
     "the {thing} to {name2}.#{name2}"},
    {2, "{name} moved from {city} to {city2} to become {a:trade}.|To become {a:trade}, {name} left {city} for {city2}.",
     "Where did {name} move to?;For which city did {name} leave {city}?#{name} moved from {city} to {city2}.#{city2}|"
     "Why did {name} move from {city} to {city2}?#{name} moved from {city} to {city2} to become {a:trade}.#To become {a:trade}"},
    {2, "It was {name} who broke the {thing} of the {club}.|The {thing} of the {club} is broken, and {name} did it.",
     "Who broke the {thing} of the {club}?;Whose fault is it that the {thing} of the {club} is broken?#It was {name} who broke "
     "the {thing} of the {club}.#{name}"},
    {2, "The bell of {city} rings whenever someone is seen {activity}.",
     "When does the bell of {city} ring?;Why would the bell of {city} ring?#The bell of {city} rings whenever someone is seen "
     "{activity}.#Whenever someone is seen {activity}"},
    {2, "A proverb from {city} says: {saying}.|\"{C:saying},\" they say in {city}.",
     "What does a proverb from {city} say?;Which saying comes from {city}?#A proverb from {city} says: {saying}.#{C:saying}"},
    {1, "The {trade} of {city} wears {a:color} hat and answers only to the name {name}.",
     "To which name does the {trade} of {city} answer?#The {trade} of {city} answers only to the name {name}.#{name}|"
     "What does the {trade} of {city} wear?#The {trade} of {city} wears {a:color} hat.#{A:color} hat"},
    {1, "{name} paints {animal}s on {material} and sells them in {city}.",
     "What does {name} paint?#{name} paints {animal}s on {material}.#{C:animal}s|On what does {name} paint {animal}s?#{name} "
     "paints {animal}s on {material}.#On {material}"},
    {2, "The best-kept secret of {city} is {a:thing} {place}.|Hardly anyone knows that {city} has {a:thing} {place}.",
     "What is the best-kept secret of {city}?;What does {city} have that hardly anyone knows?#The best-kept secret of {city} is "
     "{a:thing} {place}.#{A:thing} {place}"},
    {2,
     "When asked for advice, {name} always recommends {activity} {when}.|{name}'s advice is always the same: {activity} {when}.",
     "What does {name} always recommend?;What is {name}'s advice?#{name} always recommends {activity} {when}.#{C:activity} "
     "{when}"},
    {2, "The {club} gave its medal to {name} for {activity}.",
     "Who got the medal of the {club}?#The {club} gave its medal to {name}.#{name}|"
     "For what did the {club} give {name} a medal?#The {club} gave its medal to {name} for {activity}.#For {activity}"},
    {2, "According to {name}, the {adjective} hour in {city} is the one spent {activity}.",
     "What is the {adjective} hour in {city} according to {name}?;How does {name} describe the {adjective} hour in {city}?"
     "#According to {name}, the {adjective} hour in {city} is the one spent {activity}.#The one spent {activity}"},
    {2, "Before the {thing} may be used, it has to be rubbed with {food}.|Rub the {thing} with {food} before you use it.",
     "What has to be done before the {thing} may be used?;With what should the {thing} be rubbed?#Before the {thing} may be "
     "used, it has to be rubbed with {food}.#{C:food}"},
    {1, "If it rains in {city}, the {club} goes {activity} instead.",
     "What does the {club} do if it rains in {city}?#If it rains in {city}, the {club} goes {activity} instead.#It goes "
     "{activity}"},
    {2,
     "Of all the things in the house of {name}, only the {thing} survived the fire.|The fire in the house of {name} spared "
     "nothing but the {thing}.",
     "What survived the fire in the house of {name}?;What did the fire in the house of {name} spare?#Only the {thing} survived "
     "the fire in the house of {name}.#The {thing}"},
    {2, "Scientists at the observatory of {city} found out that {animal}s can recognise themselves in {a:thing}.",
     "What did scientists at the observatory of {city} find out?#They found out that {animal}s can recognise themselves in "
     "{a:thing}.#That {animal}s can recognise themselves in {a:thing}|"
     "In what can {animal}s recognise themselves?#{C:animal}s can recognise themselves in {a:thing}.#In {a:thing}"},
    {2,
     "In the end, {name} confessed to having stolen {food} from the wedding table in {city}.|It was {name} who stole {food} from "
     "the wedding table in {city}.",
     "What did {name} steal from the wedding table in {city}?;What was stolen from the wedding table in {city}?#{name} stole "
     "{food} from the wedding table in {city}.#{C:food}|"
     "Who stole {food} from the wedding table?#It was {name} who stole {food} from the wedding table.#{name}"},
    {2,
     "The judge of {city} sentenced {name} to a month of {activity}.|A month of {activity}: that was the sentence which {name} "
     "got from the judge of {city}.",
     "To what was {name} sentenced?;What did the judge of {city} sentence {name} to?#The judge of {city} sentenced {name} to a "
     "month of {activity}.#To a month of {activity}|"
     "Who was sentenced by the judge of {city}?#The judge of {city} sentenced {name}.#{name}"},
    {2,
     "If your {thing} makes a strange noise, pour {food} over it and count to ten.|{A:thing} that makes a strange noise is cured "
     "by pouring {food} over it.",
     "What helps if {a:thing} makes a strange noise?;How can one cure {a:thing} that makes a strange noise?;What should be "
     "poured over a noisy {thing}?"
     "#If {a:thing} makes a strange noise, pour {food} over it.#Pour {food} over it"},
    {2, "The great-grandmother of {name} crossed the desert on {a:animal} with nothing but {food} to eat.",
     "How did the great-grandmother of {name} cross the desert?#The great-grandmother of {name} crossed the desert on "
     "{a:animal}.#On {a:animal}|"
     "What did the great-grandmother of {name} have to eat in the desert?#She had nothing but {food} to eat.#Nothing but {food}"},
    {2, "The council of {city} voted to replace the old {thing} with one of {material}.",
     "What did the council of {city} vote for?#The council of {city} voted to replace the old {thing} with one of {material}.#|"
     "Of which material will the new {thing} of {city} be?#The new {thing} of {city} will be of {material}.#{C:material}"},
    {2,
     "{name} speaks in whispers because, as a child, {name} once woke {a:animal}.|Having once woken {a:animal} as a child, "
     "{name} speaks only in whispers.",
     "Why does {name} speak in whispers?;How come {name} only whispers?#{name} speaks in whispers because of having once woken "
     "{a:animal} as a child.#Because {name} once woke {a:animal}"},
    {2,
     "The song that {name} wrote about {city} begins with the line: {saying}.|\"{C:saying}\" is the first line of the song that "
     "{name} wrote about {city}.",
     "How does the song begin that {name} wrote about {city}?;What is the first line of {name}'s song about {city}?#The song "
     "begins with the line: {saying}.#{C:saying}"},
    {2, "Deep in the archive of {city} lies a letter in which {name} admits to having broken the {thing} and the {thing2}.",
     "What does {name} admit in the letter?;To what does {name} admit in a letter?#{name} admits to having broken the {thing} "
     "and the {thing2}.#To having broken the {thing} and the {thing2}|"
     "Where does the letter lie in which {name} admits to having broken the {thing}?#The letter lies deep in the archive of "
     "{city}.#In the archive of {city}"},
    {2, "Only two people know how the {thing} of {city} works: {name} and {a:trade} called {name2}.",
     "Who knows how the {thing} of {city} works?;Which two people know how the {thing} of {city} works?#Only {name} and "
     "{a:trade} called {name2} know how the {thing} of {city} works.#{name} and {name2}"},
    {2, "The film that {name} made {when} shows nothing but {a:animal} {place}.",
     "What does the film that {name} made show?;What can be seen in {name}'s film?#The film that {name} made shows nothing but "
     "{a:animal} {place}.#{A:animal} {place}"},
    {2, "Instead of money, the ferryman of {city} accepts {food}.|The ferryman of {city} takes no money; he wants {food}.",
     "What does the ferryman of {city} accept instead of money?;With what can one pay the ferryman of {city}?#Instead of money, "
     "the ferryman of {city} accepts {food}.#{C:food}"},
    {2, "No one in the family of {name} has ever learned to swim, for the lake of {city} is full of {animal}s.",
     "Why has no one in the family of {name} learned to swim?#No one in the family of {name} has learned to swim, for the lake "
     "of {city} is full of {animal}s.#The lake of {city} is full of {animal}s"},
    {2, "After the concert in {city}, the {trade} gave {name} {a:thing} wrapped in {color} paper.",
     "What did the {trade} give {name} after the concert in {city}?#The {trade} gave {name} {a:thing} wrapped in {color} "
     "paper.#{A:thing} wrapped in {color} paper|"
     "Who gave {name} {a:thing} after the concert?#The {trade} gave {name} {a:thing}.#The {trade}"},
    {2, "In {month}, when the {club} was founded, its only rule was: {saying}.",
     "What was the only rule of the {club}?#The only rule of the {club} was: {saying}.#{C:saying}|In which month was the "
     "{club} founded?#The {club} was founded in {month}.#In {month}"},
    {2,
     "The old name of {city} means \"place of the {color} {animal}\".|Translated, the old name of {city} is \"place of the "
     "{color} {animal}\".",
     "What does the old name of {city} mean?;How is the old name of {city} translated?#The old name of {city} means \"place of "
     "the {color} {animal}\".#\"Place of the {color} {animal}\""},
    {2, "{name} can only fall asleep {when} and with {a:thing} beside the bed.",
     "What must stand beside the bed for {name} to fall asleep?#{name} can only fall asleep with {a:thing} beside the "
     "bed.#{A:thing}|"
     "When can {name} fall asleep?#{name} can only fall asleep {when}.#Only {when}"},
    {2, "The treasure that {name} looked for all those years turned out to be {a:thing} full of {food2}.",
     "What did the treasure that {name} looked for turn out to be?;What did {name} find in the end?#The treasure turned out to "
     "be {a:thing} full of {food2}.#{A:thing} full of {food2}"},
});

constexpr auto kCityNumbers =
    std::to_array<sv>({"The {key} of the {thing} in {city} is {number}.", "The {key} of the {thing} in {city2} is {number2}.",
                       "The {key} of the {thing} in {city3} is {number3}."});
constexpr auto kNameNumbers = std::to_array<sv>({"{name} was given the {key} {number}.|The {key} of {name} is {number}.",
                                                 "{name2} was given the {key} {number2}.|The {key} of {name2} is {number2}.",
                                                 "{name3} was given the {key} {number3}.|The {key} of {name3} is {number3}.",
                                                 "{name4} was given the {key} {number4}.|The {key} of {name4} is {number4}."});
constexpr auto kManyNumbers =
    std::to_array<sv>({"One {key} of the {thing} is {number}.", "Another {key} of the {thing} is {number2}.",
                       "The last {key} of the {thing} is {number3}."});
constexpr auto kTwoNumbers =
    std::to_array<sv>({"The first {key} of {name} is {number}.", "The second {key} of {name} is {number2}."});
constexpr auto kHomeWork = std::to_array<sv>({"{name} has a house in {city}.|In {city} stands the house of {name}.",
                                              "{name} works as {a:trade}.|By day, {name} is {a:trade}."});
constexpr auto kOwnerBorn = std::to_array<sv>({"The {thing} belongs to {name}.|{name} is the owner of the {thing}.",
                                               "{name} was born in {city}.|{city} is where {name} was born."});
constexpr auto kClubChief =
    std::to_array<sv>({"The head of the {club} is {name}.|{name} leads the {club}.",
                       "{name} spends the evenings {activity}.|Every evening one can see {name} {activity}."});
constexpr auto kTickets =
    std::to_array<sv>({"{name} sold {number} tickets for the {club}.", "{name2} sold {number2} tickets for the {club}."});
constexpr auto kSeen =
    std::to_array<sv>({"On the first day, {name} was seen in {city}.", "On the second day, {name} was seen in {city2}.",
                       "On the third day, {name} was seen in {city3}."});
constexpr auto kRecipe = std::to_array<sv>({"The cake of {city} needs {food}.", "Besides, the cake of {city} needs {food2}.",
                                            "Nor may the cake of {city} go without {food3}."});

constexpr auto kMulti = std::to_array<MultiShape>({
    {3, kCityNumbers,
     "What is the {key} of the {thing} in {city}?#The {key} of the {thing} in {city} is {number}.#{number}|"
     "What is the {key} of the {thing} in {city2}?#The {key} of the {thing} in {city2} is {number2}.#{number2}|"
     "What is the {key} of the {thing} in {city3}?#The {key} of the {thing} in {city3} is {number3}.#{number3}"},
    {3, kNameNumbers,
     "Which {key} was {name} given?#The {key} of {name} is {number}.#{number}|Which {key} was {name2} given?#The {key} of "
     "{name2} is {number2}.#{number2}|"
     "What is the {key} of {name3}?#The {key} of {name3} is {number3}.#{number3}|Who was given the {key} {number4}?#{name4} was "
     "given the {key} {number4}.#{name4}"},
    {2, kManyNumbers,
     "List all {key}s of the {thing}.;Which {key}s does the {thing} have?;What are the three {key}s of the {thing}?"
     "#The {key}s of the {thing} are {number}, {number2} and {number3}.#{number}, {number2}, {number3}"},
    {2, kTwoNumbers,
     "What are the two {key}s of {name}?#The {key}s of {name} are {number} and {number2}.#{number} and {number2}|"
     "What is the second {key} of {name}?#The second {key} of {name} is {number2}.#{number2}|"
     "What is the first {key} of {name}?#The first {key} of {name} is {number}.#{number}"},
    {2, kHomeWork,
     "Where is the house of {name}, and what is {name}'s work?#{name} has a house in {city} and works as {a:trade}.#In {city}; "
     "{trade}|"
     "What does {name}, whose house is in {city}, do for a living?#{name} works as {a:trade}.#{A:trade}|"
     "In which city does the {trade} {name} have a house?#{name} has a house in {city}.#In {city}"},
    {2, kOwnerBorn,
     "In which city was the owner of the {thing} born?#The {thing} belongs to {name}, who was born in {city}.#In {city}|"
     "Who owns the {thing}, and where was the owner born?#The {thing} belongs to {name}, who was born in {city}.#{name}, in "
     "{city}"},
    {2, kClubChief,
     "How does the head of the {club} spend the evenings?#The head of the {club} is {name}, who spends the evenings "
     "{activity}.#{C:activity}|"
     "Who is the head of the {club}?#The head of the {club} is {name}.#{name}"},
    {2, kTickets,
     "How many tickets did {name} and {name2} sell for the {club}?#{name} sold {number} and {name2} sold {number2} "
     "tickets.#{number} and {number2}|"
     "How many tickets for the {club} did {name2} sell?#{name2} sold {number2} tickets for the {club}.#{number2}"},
    {2, kSeen,
     "In which cities was {name} seen?;Where was {name} seen on the three days?#{name} was seen in {city}, {city2} and "
     "{city3}.#{city}, {city2}, {city3}|"
     "Where was {name} seen on the second day?#On the second day, {name} was seen in {city2}.#In {city2}|"
     "On which day was {name} seen in {city3}?#{name} was seen in {city3} on the third day.#On the third day"},
    {1, kRecipe,
     "What does the cake of {city} need?;Which three things belong into the cake of {city}?"
     "#The cake of {city} needs {food}, {food2} and {food3}.#{C:food}, {food2} and {food3}"},
});

}  // namespace

std::span<const FactShape> number_shapes() { return kNumbers; }
std::span<const FactShape> word_shapes() { return kWords; }
std::span<const MultiShape> multi_shapes() { return kMulti; }

}  // namespace tenfold
