"""The routes of similarity: files, vector stores and what is in them, and questions to them."""

from llmguard.wire import rerank, similarity, store_search
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.files import FilesQuery, FileUpload
from llmguard.wire.paging import PageQuery
from llmguard.wire.rerank import RerankRequest
from llmguard.wire.similarity import SimilarityRequest
from llmguard.wire.store_files import BatchCreate, FileAttach, FileUpdate, StoreFilesQuery
from llmguard.wire.store_search import SearchRequest
from llmguard.wire.vector_stores import StoreCreate, StoreUpdate
from llmguard.wire.weight import light

NAME = "vector_stores"
FILES, STORES = "/v1/files", "/v1/vector_stores"
FILE, STORE = f"{FILES}/{{file_id}}", f"{STORES}/{{vector_store_id}}"
STORE_FILES, BATCHES = f"{STORE}/files", f"{STORE}/file_batches"
STORE_FILE, BATCH = f"{STORE_FILES}/{{file_id}}", f"{BATCHES}/{{batch_id}}"

FILE_CREATE = Endpoint(NAME, "POST", FILES, "Upload a file", request=FileUpload, form=True, weight=light)
FILE_LIST = Endpoint(NAME, "GET", FILES, "List files", query=FilesQuery, weight=light)
FILE_GET = Endpoint(NAME, "GET", FILE, "One file", weight=light)
FILE_DELETE = Endpoint(NAME, "DELETE", FILE, "Delete a file, and take it out of every vector store", weight=light)
FILE_CONTENT = Endpoint(NAME, "GET", f"{FILE}/content", "The bytes of a file", weight=light)

STORE_CREATE = Endpoint(NAME, "POST", STORES, "Make a vector store", request=StoreCreate, weight=light)
STORE_LIST = Endpoint(NAME, "GET", STORES, "List vector stores", query=PageQuery, weight=light)
STORE_GET = Endpoint(NAME, "GET", STORE, "One vector store", weight=light)
STORE_UPDATE = Endpoint(NAME, "POST", STORE, "Change a vector store", request=StoreUpdate, weight=light)
STORE_DELETE = Endpoint(NAME, "DELETE", STORE, "Delete a vector store", weight=light)
STORE_SEARCH = Endpoint(
    NAME, "POST", f"{STORE}/search", "Search a vector store", request=SearchRequest, weight=store_search.weight
)

STORE_FILE_CREATE = Endpoint(NAME, "POST", STORE_FILES, "Put a file into a store", request=FileAttach, weight=light)
STORE_FILE_LIST = Endpoint(NAME, "GET", STORE_FILES, "List the files of a store", query=StoreFilesQuery, weight=light)
STORE_FILE_GET = Endpoint(NAME, "GET", STORE_FILE, "One file of a store", weight=light)
STORE_FILE_UPDATE = Endpoint(
    NAME, "POST", STORE_FILE, "Change the attributes of a file in a store", request=FileUpdate, weight=light
)
STORE_FILE_DELETE = Endpoint(NAME, "DELETE", STORE_FILE, "Take a file out of a store", weight=light)
STORE_FILE_CONTENT = Endpoint(NAME, "GET", f"{STORE_FILE}/content", "What of a file is searched", weight=light)

BATCH_CREATE = Endpoint(NAME, "POST", BATCHES, "Put files into a store together", request=BatchCreate, weight=light)
BATCH_GET = Endpoint(NAME, "GET", BATCH, "How far a batch of files is", weight=light)
BATCH_CANCEL = Endpoint(NAME, "POST", f"{BATCH}/cancel", "Leave out the files that are not done yet", weight=light)
BATCH_FILES = Endpoint(NAME, "GET", f"{BATCH}/files", "List the files of a batch", query=StoreFilesQuery, weight=light)

SIMILARITY = Endpoint(
    "similarity", "POST", "/v1/similarity", "How like texts are", request=SimilarityRequest, weight=similarity.weight
)
RERANK = Endpoint(
    "rerank", "POST", "/v1/rerank", "Order texts by a question", request=RerankRequest, weight=rerank.weight
)

SIMILARITY_ENDPOINTS = (
    FILE_CREATE,
    FILE_LIST,
    FILE_GET,
    FILE_DELETE,
    FILE_CONTENT,
    STORE_CREATE,
    STORE_LIST,
    STORE_GET,
    STORE_UPDATE,
    STORE_DELETE,
    STORE_SEARCH,
    STORE_FILE_CREATE,
    STORE_FILE_LIST,
    STORE_FILE_GET,
    STORE_FILE_UPDATE,
    STORE_FILE_DELETE,
    STORE_FILE_CONTENT,
    BATCH_CREATE,
    BATCH_GET,
    BATCH_CANCEL,
    BATCH_FILES,
    SIMILARITY,
    RERANK,
)
