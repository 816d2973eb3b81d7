"""LlamaIndex nodes as Akin's items, and the other way around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import akin
import grpc
from google.protobuf.json_format import MessageToDict
from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

# The attribute with the id of a node, because Akin's filters test attributes only.
NODE_ID = "_node_id"

# The attribute with the id of a node's document. LlamaIndex deletes by it.
REF_DOC_ID = "ref_doc_id"

_NODE_CONTENT = "_node_content"

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def build_item(node: BaseNode, *, with_embedding: bool) -> akin.Item:
    """Return the item of a node: its text without metadata, and the metadata as attributes.

    Args:
        node: the node.
        with_embedding: the vector of the item is the embedding of the node, if it has one.

    Raises:
        ValueError: metadata has a value that is not a JSON value.
    """
    attributes = node_to_metadata_dict(node, remove_text=True)
    attributes[NODE_ID] = node.node_id
    vectors = [node.embedding] if with_embedding and node.embedding else None
    return akin.item(node.node_id, node.get_content(MetadataMode.NONE), attributes, vectors=vectors)


def build_node(item: akin.Item) -> BaseNode:
    """Return the node of an item, also of one that was not stored by LlamaIndex."""
    attributes: dict[str, Any] = MessageToDict(item.attributes)
    if _NODE_CONTENT in attributes:
        return metadata_dict_to_node(attributes, item.text)
    return TextNode(id_=item.item_id, text=item.text, metadata=attributes)


def check_results(results: Sequence[akin.ItemResult]) -> list[str]:
    """Return the ids of imported items.

    Raises:
        AkinError: some items were not stored. The others are stored.
    """
    failures = [result for result in results if result.code]
    if failures:
        first = failures[0]
        raise akin.AkinError(
            _STATUS_CODES[first.code],
            f"{len(failures)} of {len(results)} nodes were not stored; "
            f"the first is {first.item_id!r}: {first.message}",
        )
    return [result.item_id for result in results]
