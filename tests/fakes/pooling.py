"""What a pooling model says, in vLLM's and OpenAI's shapes, full of what is the upstream's own."""

from tests.fakes.answers import JSON, Answer, words

PATHS = {"/classify": "classify", "/v1/classify": "classify", "/v1/embeddings": "embeddings"}


def pooled(path: str, body: JSON, answer: Answer) -> JSON:
    """The answer to a request, by the functions that the fake was given."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    read = sum(words(text) for text in texts)
    usage = {"prompt_tokens": read, "total_tokens": read, "completion_tokens": 0, "prompt_tokens_details": None}
    shared = {"object": "list", "model": answer.model, "usage": usage}
    if PATHS[path] == "classify":
        data = [
            {
                "index": index,
                "label": answer.labels[max(range(len(probs)), key=probs.__getitem__)],
                "probs": probs,
                "num_classes": len(probs),
            }
            for index, probs in enumerate(answer.classify(texts))
        ]
        return {"id": "classify-of-the-upstream", "created": 1, "data": data, **shared}
    vectors = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(answer.embed(texts))
    ]
    return {"data": vectors, **shared}
