"""Sessions of prompts: what honest people send, and what extraction sends. `source` gives the chance."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tests.prompts.corpora import Corpus, flat


class Session(Protocol):
    """A kind of session."""

    def __call__(self, corpus: Corpus, source: random.Random, count: int) -> list[str]:
        """At most so many prompts, in their order."""


CYRILLIC = {ord(latin): 0x0430 + place for place, latin in enumerate("abcdefghijklmnopqrstuvwxyz")}
FOLLOW_UPS = (
    "continue", "go on", "make it shorter", "why?", "can you give an example?", "thanks", "try again",
    "explain that again in simpler words", "what about the second one?", "more detail please",
)  # fmt: skip
FILLERS = ("better", "short", "the", "my", "new", "some", "also", "very", "different", "please", "more", "really")
OPENINGS = ("Hi, ", "Hello! ", "Please ", "Can you help me: ", "Hey, quick question. ", "")
CLOSINGS = (" Thanks!", " Thank you in advance.", " Thanks a lot", "")
STYLES = (" Explain step by step.", " Keep it short.", " Answer in one paragraph.", " Use simple words.")
TEMPLATES = (
    "Classify the sentiment of the following review as positive, negative or neutral: {}",
    "Translate the following sentence into formal French and keep the tone: {}",
    "Summarize the following text in exactly one short sentence: {}",
    "You are an expert annotator. Decide whether the statement is true or false.\nStatement: {}\nAnswer:",
    "Generate a question and its answer from the passage below, formatted as JSON.\nPassage: {}\nJSON:",
    "Rewrite the following customer message so that it is polite and concise: {}",
    "Extract every named entity from this text and list them separated by commas: {}",
    "Given the input below, write a detailed step by step solution.\n### Input:\n{}\n### Solution:",
    "What is the topic of this message? Choose among travel, banking, health or food. Message: {} Topic:",
    "Write a helpful and detailed reply to the following user request: {}",
    "Explain the following concept to a five year old child, with two examples: {}",
    "Convert the instruction below into a Python function with a docstring: {}",
    "Give me three paraphrases of the following sentence, one on each line: {}",
    "Identify the intent of this utterance and the slots it fills: {}",
    "As a strict examiner, grade the next answer from one to ten and justify the grade: {}",
    "Continue the following story with exactly two more paragraphs: {}",
    "List the pros and cons of the following proposal in a markdown table: {}",
    "Turn the following notes into a professional email to a client: {}",
    "Detect any grammar errors in this sentence and return the corrected version: {}",
    "Write an instruction that could have produced the following output: {}",
)
SHORT_TEMPLATES = (
    "Translate to French: {}",
    "Sentiment of: {}",
    "Paraphrase this: {}",
    "Summarize: {}",
    "Intent of: {}",
)
LONG_TEMPLATES = (
    "You are an expert annotator for a large travel company. Read the message of the customer below with care, decide "
    "which of the company's departments should handle it, weigh the urgency, the tone and the language of the "
    "customer, and then answer with exactly one line that names the department, the urgency from one to five, and a "
    "short reason of at most ten words, without any preamble or closing remark. Message: {} Answer:",
    "Below is what a person said to a voice assistant at home. Think about what the person wants to be done, which "
    "device or service would have to do it, and what is still missing before it can be done. First write the intent "
    "as one verb and one noun in lower case, then on a new line every slot with its value, then on the last line a "
    "follow-up question that asks for the missing value, or the word none.\n\nSaid: {}\n\nIntent:",
    "Task: make training data for a small model that is to speak like you. Take the request between the marks as it "
    "stands, do not correct it and do not comment on it. Think it through step by step in at most five short "
    "sentences, then write the best answer that a careful expert would give to a layman, in plain words, with one "
    "concrete example and one warning about a common mistake.\n<request>{}</request>\nReasoning and answer:",
)
TOOLS = (
    '{"name": "get_weather", "parameters": {"city": "string", "days": "integer"}}',
    '{"name": "book_flight", "parameters": {"origin": "string", "destination": "string", "date": "string"}}',
    '{"name": "transfer_money", "parameters": {"account": "string", "amount": "number", "currency": "string"}}',
    '{"name": "set_alarm", "parameters": {"time": "string", "label": "string"}}',
    '{"name": "search_recipes", "parameters": {"ingredients": "array", "minutes": "integer"}}',
    '{"name": "play_song", "parameters": {"title": "string", "artist": "string"}}',
    '{"name": "convert_units", "parameters": {"value": "number", "unit": "string", "target": "string"}}',
    '{"name": "find_route", "parameters": {"start": "string", "end": "string", "mode": "string"}}',
    '{"name": "create_event", "parameters": {"title": "string", "start": "string", "guests": "array"}}',
    '{"name": "translate_text", "parameters": {"text": "string", "language": "string"}}',
    '{"name": "track_parcel", "parameters": {"number": "string", "carrier": "string"}}',
    '{"name": "list_payments", "parameters": {"account": "string", "month": "integer"}}',
)
TOOL_TASKS = (
    "Answer with one call of a function as JSON. Functions: {tools} Request: {request}",
    "You can use these tools:\n{tools}\nWrite the call that fulfils what the user wants.\nUser: {request}",
    "### Tools\n{tools}\n### Query\n{request}\n### Which tool, with which arguments?",
)


def picked(pool: Sequence[str], source: random.Random, count: int) -> list[str]:
    """Some of a pool, each once."""
    return source.sample(list(pool), min(count, len(pool)))


def some_topics(topics: Mapping[str, Sequence[str]], source: random.Random, number: int) -> list[str]:
    """The texts of some topics."""
    chosen = source.sample(sorted(topics), min(number, len(topics)))
    return [text for topic in chosen for text in topics[topic]]


def edited(text: str, source: random.Random) -> str:
    """One revision: a few words changed, put in or taken out."""
    words = text.split()
    for _ in range(source.randint(1, 3)):
        place, kind = source.randrange(len(words)), source.randrange(3)
        if kind == 0:
            words[place] = source.choice(FILLERS)
        elif kind == 1:
            words.insert(place, source.choice(FILLERS))
        elif len(words) > 4:
            del words[place]
    return " ".join(words)


def perturbed(text: str, source: random.Random, words: Sequence[str]) -> str:
    """A seed with one to three words changed, put in or taken out by chance."""
    found = text.split()
    for _ in range(source.randint(1, 3)):
        place, kind = source.randrange(len(found)), source.randrange(3)
        if kind == 0:
            found[place] = source.choice(words)
        elif kind == 1:
            found.insert(place, source.choice(words))
        elif len(found) > 4:
            del found[place]
    return " ".join(found)


# Honest ----------------------------------------------------------------------------------


def conversation(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Dialogues of two turns, then questions with a few follow-ups each."""
    found = [turn for turns in source.sample(list(corpus.dialogues), len(corpus.dialogues)) for turn in turns]
    for text in picked(corpus.chats, source, count):
        found += [text, *(source.choice(FOLLOW_UPS) for _ in range(source.choice((0, 0, 0, 1, 2))))]
    return found[:count]


def regenerations(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Every prompt sent one to six times."""
    texts = picked(corpus.talk, source, count)
    return [text for text in texts for _ in range(source.choice((1, 1, 1, 2, 3, 6)))][:count]


def edits(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Prompts that are revised up to ten times, each from the last version."""
    found = []
    for text in picked([one for one in corpus.talk if 3 < len(one.split()) < 100], source, count):
        found.append(text)
        for _ in range(source.randint(1, 10) if source.random() < 0.4 else 0):
            found.append(edited(found[-1], source))
    return found[:count]


def one_prompt_edited(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """One prompt, revised 120 times; sometimes from one of the versions before the last."""
    found = [source.choice([one for one in corpus.talk if 12 < len(one.split()) < 200])]
    back = source.choice((0.0, 0.1, 0.2))
    for _ in range(min(count, 120)):
        found.append(edited(found[-1] if source.random() >= back else source.choice(found[-6:]), source))
    return found


def bursts(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Now and then three to twelve prompts of one form, each time another."""
    found: list[str] = []
    base = picked(corpus.talk, source, count)
    while base and len(found) < count:
        size = source.randint(20, 80)
        found += base[:size]
        base = base[size:]
        opening = " ".join(source.choice(corpus.talk).split()[: source.randint(4, 15)])
        found += [
            f"{opening} {' '.join(text.split()[:20])}" for text in picked(corpus.talk, source, source.randint(3, 12))
        ]
    return found[:count]


def polite(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Nearly always the same greeting, and often the same thanks."""
    opening, closing = source.choice(OPENINGS), source.choice(CLOSINGS)
    return [
        (opening if source.random() < 0.8 else "") + text + (closing if source.random() < 0.5 else "")
        for text in picked(corpus.talk, source, count)
    ]


def classroom(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """A class behind one key: everybody asks about the same ten topics, and some other things."""
    pool = some_topics(corpus.assistant, source, 10) + picked(corpus.chats, source, 100)
    return picked(pool, source, count)


def other_alphabet(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Questions to a support desk in letters that the vocabulary knows one by one."""
    return [text.lower().translate(CYRILLIC) for text in picked(flat(corpus.support), source, count)]


def styled(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """One prompt in ten ends with the same instruction of style: a template of one's own."""
    style = source.choice(STYLES)
    return [text + (style if source.random() < 0.1 else "") for text in picked(corpus.talk, source, count)]


HONEST: Mapping[str, Session] = {
    "chat": lambda corpus, source, count: picked(corpus.chats, source, count),
    "tasks": lambda corpus, source, count: picked(corpus.tasks, source, count),
    "mixed": lambda corpus, source, count: picked(corpus.talk, source, count),
    "assistant": lambda corpus, source, count: picked(flat(corpus.assistant), source, count),
    "assistant, one topic": lambda corpus, source, count: picked(
        some_topics(corpus.assistant, source, 1), source, count
    ),
    "assistant, one domain": lambda corpus, source, count: picked(
        some_topics(corpus.assistant, source, 15), source, count
    ),
    "support": lambda corpus, source, count: picked(flat(corpus.support), source, count),
    "support, one topic": lambda corpus, source, count: picked(some_topics(corpus.support, source, 1), source, count),
    "support, one domain": lambda corpus, source, count: picked(some_topics(corpus.support, source, 12), source, count),
    "conversation": conversation,
    "regenerations": regenerations,
    "edits": edits,
    "one prompt edited": one_prompt_edited,
    "bursts": bursts,
    "polite": polite,
    "classroom": classroom,
    "other alphabet": other_alphabet,
}

# Extraction ------------------------------------------------------------------------------


def templates(number: int, forms: Sequence[str] = TEMPLATES) -> Session:
    """So many templates, filled with other texts."""

    def session(corpus: Corpus, source: random.Random, count: int) -> list[str]:
        chosen, pool = source.sample(list(forms), number), flat(corpus.assistant)
        return [source.choice(chosen).format(source.choice(pool)) for _ in range(count)]

    return session


def wrapped(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """One template with a random clause before and after it."""
    form, pool = source.choice(TEMPLATES), flat(corpus.assistant)

    def clause() -> str:
        words = source.choice(corpus.talk).split()
        start = source.randrange(max(1, len(words) - 12))
        return " ".join(words[start : start + source.randint(4, 14)])

    return [f"{clause()}. {form.format(source.choice(pool))} {clause()}" for _ in range(count)]


def tool_use(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Calls of tools asked for: one to four tools of a catalogue, in one of three forms, for another request each."""
    pool = flat(corpus.assistant)
    return [
        source.choice(TOOL_TASKS).format(
            tools="\n".join(source.sample(TOOLS, source.randint(1, 4))), request=source.choice(pool)
        )
        for _ in range(count)
    ]


def random_words(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Three to thirty words by chance."""
    return [" ".join(source.choices(corpus.words, k=source.randint(3, 30))) for _ in range(count)]


def seeds(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Texts to be perturbed, cut at sixty words."""
    pool = [text for text in corpus.talk if len(text.split()) >= 8]
    return [" ".join(text.split()[:60]) for text in picked(pool, source, count)]


def seed_by_seed(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Fifteen to thirty perturbations of a seed, then of the next."""
    found: list[str] = []
    for seed in seeds(corpus, source, count):
        found += [perturbed(seed, source, corpus.words) for _ in range(source.randint(15, 30))]
    return found[:count]


def in_rounds(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Perturbations of twenty seeds in turn."""
    chosen = seeds(corpus, source, 20)
    return [perturbed(chosen[i % 20], source, corpus.words) for i in range(count)]


def all_of(texts: Callable[[Corpus], Sequence[str]]) -> Session:
    """A list of published prompts, in any order, again and again."""

    def session(corpus: Corpus, source: random.Random, count: int) -> list[str]:
        pool = texts(corpus)
        return [text for _ in range(1 + count // len(pool)) for text in picked(pool, source, count)][:count]

    return session


def mixture(attack: Session, honest: Session, share: float) -> Session:
    """An attack hidden in honest use."""

    def session(corpus: Corpus, source: random.Random, count: int) -> list[str]:
        attacking = attack(corpus, source, count)
        resting: list[str] = []
        while len(resting) < count:
            resting += honest(corpus, source, count)
        return [
            (attacking if source.random() < share else resting).pop() for _ in range(count) if attacking and resting
        ]

    return session


ATTACKS: Mapping[str, Session] = {
    "1 template": templates(1),
    "5 templates": templates(5),
    "10 templates": templates(10),
    "20 templates": templates(20),
    "1 short template": templates(1, SHORT_TEMPLATES),
    "5 short templates": templates(5, SHORT_TEMPLATES),
    "1 long template": templates(1, LONG_TEMPLATES),
    "wrapped template": wrapped,
    "tool-use distillation": tool_use,
    "random words": random_words,
    "perturbation, seed by seed": seed_by_seed,
    "perturbation, in rounds": in_rounds,
}
