"""A connection to Redis from a URL: one server, a Sentinel group, or a cluster.

redis://[user:password@]host[:port][/db]                             also rediss://, over TLS
redis+sentinel://[user:password@]host[:port][,host[:port]]/service[/db]
redis+cluster://[user:password@]host[:port][,host[:port]]

User and password are those of the data servers, not of the sentinels.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import SlotNotCoveredError

CONNECTION: dict[str, Any] = {
    # The store bounds whole operations; a timeout of the socket would only come second.
    "socket_timeout": None,
    "socket_connect_timeout": None,
    # Nothing of RESP3 is used, nor does the server need our library's name: the
    # handshake is then no round trip at all, or AUTH alone.
    "protocol": 2,
    "driver_info": None,
}
REDIS_PORT, SENTINEL_PORT = 6379, 26379
CLUSTER_RETRIES = 2
"""A cluster's client needs further attempts to follow a slot that moved; the others get none."""


class RedisClient:
    """What the store needs of Redis: commands by name. `others` are closed with `client`."""

    def __init__(self, client: "Redis | RedisCluster", *others: "Redis") -> None:
        self._client = client
        self._cluster = client if isinstance(client, RedisCluster) else None
        self._others = others

    async def execute(self, *command: str | bytes | float) -> Any:
        """The answer to a command, strings as bytes. Raises redis' errors and OSError."""
        return await self._client.execute_command(*command)

    @property
    def clustered(self) -> bool:
        """Whether only keys with one hash tag can be changed together."""
        return self._cluster is not None

    def server(self, key: str) -> str:
        """The name of the server that holds a key, as far as it is known; a cluster that was not asked has none."""
        if self._cluster is None:
            return ""
        try:
            node = self._cluster.get_node_from_key(key)
        except SlotNotCoveredError:
            return ""
        return node.name if node else ""

    async def connect(self, key: str) -> AbstractConnection:
        """A connection of the caller's own to the server that holds a key now; a cluster is asked anew.

        Raises redis' errors and OSError.
        """
        connection: AbstractConnection
        if self._cluster is not None:
            await self._cluster.execute_command("EXISTS", key)
            node = self._cluster.get_node_from_key(key)
            assert node is not None
            connection = node.connection_class(**{**node.connection_kwargs, "retry": _retry(0)})
        else:
            assert isinstance(self._client, Redis)
            connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis' own gap
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis' own gap
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        for client in self._others:
            await client.aclose()


def open_client(url: str) -> RedisClient:
    """A client that connects on its first command. Raises ValueError for a URL that cannot be right."""
    scheme = url.partition(":")[0]
    if scheme == "redis+sentinel":
        return _sentinel(url)
    if scheme == "redis+cluster":
        return _cluster(url)
    _database(urlsplit(url).path.strip("/"))  # redis would take what is no number for 0
    return RedisClient(Redis.from_url(url, retry=_retry(0), **CONNECTION))


def _sentinel(url: str) -> RedisClient:
    service, _, db = urlsplit(url).path.strip("/").partition("/")
    if not service:
        raise ValueError("a sentinel URL is redis+sentinel://host:port[,host:port]/service[/db]")
    options = {**CONNECTION, "retry": _retry(0)}
    hosts = _hosts(url, SENTINEL_PORT)
    sentinel = Sentinel(hosts, sentinel_kwargs=options, **options)  # type: ignore[no-untyped-call]  # redis' own gap
    master = sentinel.master_for(service, db=_database(db), **_credentials(url))
    return RedisClient(master, *sentinel.sentinels)


def _cluster(url: str) -> RedisClient:
    if urlsplit(url).path.strip("/"):
        raise ValueError("a cluster URL is redis+cluster://host:port[,host:port]: a cluster has no databases")
    nodes = [ClusterNode(host, port) for host, port in _hosts(url, REDIS_PORT)]
    retry = _retry(CLUSTER_RETRIES)
    return RedisClient(RedisCluster(startup_nodes=nodes, retry=retry, **_credentials(url), **CONNECTION))


def _hosts(url: str, port: int) -> list[tuple[str, int]]:
    """The hosts of a URL that may name several; an IPv6 address stands in brackets."""
    hosts = []
    for place in urlsplit(url).netloc.rpartition("@")[2].split(","):
        parts = urlsplit("//" + place)
        if not parts.hostname:
            raise ValueError("the store's URL names no host")
        hosts.append((parts.hostname, parts.port or port))
    return hosts


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError("the database at the end of a Redis URL is a number")
    return int(text or 0)


def _credentials(url: str) -> dict[str, Any]:
    user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    return {"username": unquote(user) or None, "password": unquote(password) or None}


def _retry(times: int) -> Retry:
    return Retry(NoBackoff(), times)
