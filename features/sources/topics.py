"""The vocabulary of the simulated app: categories hold topics, topics hold eight tags each."""

from typing import Final

TAGS_PER_TOPIC: Final = 8

# category -> {topic: its tags}. Topics are numbered by turns over the categories, so that a world with
# few topics still spans them all.
CATALOGUE: Final[dict[str, dict[str, str]]] = {
    "food": {
        "cooking": "knife skills, one pot, sauces, weeknight dinner, grilling, soups, meal prep, leftovers",
        "baking": "sourdough, cupcakes, croissants, cheesecake, cookies, piping, pizza dough, gluten free",
        "street food": "night market, tacos, dumplings, food truck, ramen, kebab, satay, arepas",
        "coffee": "latte art, espresso, pour over, cold brew, roasting, moka pot, grinders, cafe tour",
        "vegan": "tofu, oat milk, lentils, raw food, vegan cheese, tempeh, smoothies, plant protein",
    },
    "sport": {
        "football": "free kicks, keepers, transfers, derby, dribbling, champions league, tactics, fouls",
        "basketball": "dunks, threes, crossover, playoffs, rookies, streetball, buzzer beater, assists",
        "running": "marathon, trail run, intervals, running shoes, parkrun, pacing, couch to 5k, ultra",
        "yoga": "morning flow, headstand, breathing, stretching, yin, hot yoga, balance, desk yoga",
        "climbing": "bouldering, big wall, ice walls, knots, fingerboard, speed climbing, via ferrata, crags",
    },
    "music": {
        "guitar": "riffs, fingerstyle, pedals, barre chords, solos, acoustic, luthier, ukulele",
        "piano": "nocturnes, boogie, sight reading, scales, film scores, duets, ragtime, improvisation",
        "hip hop": "freestyle, beatmaking, rap battle, sampling, turntables, old school, lyrics, trap",
        "dance": "salsa, breaking, ballet, tango, shuffle, k-pop cover, tap, wedding dance",
        "singing": "warm up, harmony, karaoke, opera, beatbox, a cappella, high notes, choir",
    },
    "games": {
        "chess": "openings, endgames, blitz, gambits, puzzles, blunders, grandmasters, street chess",
        "minecraft": "redstone, speedrun, castles, survival, mods, farms, parkour maps, pixel art",
        "retro games": "arcade, cartridges, pinball, glitches, handhelds, high score, emulation, boss fights",
        "esports": "clutch, draft, aim training, casters, finals, patch notes, team house, highlights",
        "board games": "dice, miniatures, card games, party games, co-op, unboxing, house rules, solo play",
    },
    "nature": {
        "cats": "kittens, zoomies, cat tree, grooming, rescue cats, boxes, purring, maine coon",
        "dogs": "puppies, agility, husky talk, dog park, training treats, corgi, rescue dogs, fetch",
        "birds": "parrots, owls, nest cam, hummingbirds, bird feeder, falcons, bird song, migration",
        "gardening": "tomatoes, compost, pruning, balcony garden, roses, seedlings, greenhouse, weeds",
        "aquariums": "reef tank, shrimp, aquascaping, betta, koi pond, plants, filters, breeding",
    },
    "making": {
        "woodworking": "dovetails, carving, lathe, workbench, hand planes, finishing, epoxy table, joinery",
        "electronics": "soldering, drones, arduino, oscilloscope, led strips, repair, radios, robots",
        "painting": "watercolour, portraits, oil, landscapes, gouache, murals, figurines, sketching",
        "knitting": "socks, cables, cardigan, yarn haul, crochet, colourwork, blankets, spinning",
        "pottery": "wheel, glazing, kiln, handbuilding, raku, mugs, trimming, porcelain",
    },
    "life": {
        "travel": "hidden beaches, train rides, packing, hostels, city walks, islands, road trip, borders",
        "camping": "tents, campfire, van life, hammock, winter camp, bushcraft, stove, wild swim",
        "fashion": "thrift, street style, sneakers, capsule, sewing, runway, denim, accessories",
        "make-up": "eyeliner, skin care, brows, lipstick, costume make-up, brushes, glow, nails",
        "parenting": "newborn, toddlers, lunch box, bedtime, crafts for kids, twins, first steps, homework",
    },
    "mind": {
        "astronomy": "telescope, eclipse, mars, nebula, rocket launch, meteor, black holes, saturn",
        "history": "palaces, romans, archaeology, old maps, vikings, letters, steam age, inventions",
        "mathematics": "proofs, primes, geometry, paradoxes, sums, fractals, probability, knot theory",
        "languages": "accents, idioms, sign language, polyglots, grammar, calligraphy, slang, pronunciation",
        "comedy": "stand-up, sketches, pranks, impressions, office humour, dad jokes, bloopers, parody",
    },
}


def topic_names(num_topics: int) -> list[str]:
    """Names of the topics 0..num_topics-1."""
    return [topic for _, topic, _ in _by_turns()[:num_topics]]


def topic_categories(num_topics: int) -> list[str]:
    """Category of each topic."""
    return [category for category, _, _ in _by_turns()[:num_topics]]


def tag_names(num_topics: int) -> list[str]:
    """Names of all tags; tag t belongs to topic t // TAGS_PER_TOPIC."""
    return [tag for _, _, tags in _by_turns()[:num_topics] for tag in tags.split(", ")]


MAX_TOPICS: Final = sum(len(topics) for topics in CATALOGUE.values())


def _by_turns() -> list[tuple[str, str, str]]:
    rows = [
        (turn, number, category, topic, tags)
        for number, (category, topics) in enumerate(CATALOGUE.items())
        for turn, (topic, tags) in enumerate(topics.items())
    ]
    return [row[2:] for row in sorted(rows)]
