import { status, type ClientDuplexStream } from "@grpc/grpc-js";

import { AkinError } from "./errors.js";
import { Item } from "./generated/akin/v1/item.js";
import { ImportItemsRequest, type ImportItemsResponse } from "./generated/akin/v1/recommender_service.js";
import { encode, type AnyIterable, type ImportInput, type ItemInput } from "./methods.js";

const IMPORT_ITEMS = 256;

/** Well below the 16 MiB at which a server refuses a message. */
const IMPORT_BYTES = 4 * 1024 * 1024;

/** Messages without a reply: enough to keep a server at work while replies travel. */
const IMPORT_WINDOW = 4;

/** Batches of up to 256 items and, but for a lone item, 4 MiB. */
export async function* batches(items: AnyIterable<ItemInput>): AsyncGenerator<ItemInput[]> {
  let batch: ItemInput[] = [];
  let bytes = 0;
  for await (const item of items) {
    const length = encode(Item, item).length;
    if (batch.length === IMPORT_ITEMS || (batch.length > 0 && bytes + length > IMPORT_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += length;
  }
  if (batch.length > 0) {
    yield batch;
  }
}

/**
 * Sends requests and yields what comes back. A request is taken only while few wait for their
 * replies, and replies are passed on while the next request is still awaited.
 */
export async function* converse(
  stream: ClientDuplexStream<Buffer, ImportItemsResponse>,
  requests: AsyncIterator<ImportInput>,
): AsyncGenerator<ImportItemsResponse> {
  // An error reaches the replies; a second one, after those have ended, would end the process.
  stream.on("error", () => undefined);
  const replies: AsyncIterator<ImportItemsResponse> = stream[Symbol.asyncIterator]();
  let reply = next(replies, "reply");
  let request: ReturnType<typeof next<ImportInput, "request">> | undefined = next(requests, "request");
  let waiting = 0;
  try {
    for (;;) {
      const first = await Promise.race(request && waiting < IMPORT_WINDOW ? [reply, request] : [reply]);
      if (first.kind === "request") {
        if (first.done) {
          request = undefined;
          stream.end();
        } else {
          stream.write(encode(ImportItemsRequest, first.value));
          waiting++;
          request = next(requests, "request");
        }
      } else if (!first.done) {
        waiting--;
        reply = next(replies, "reply");
        yield first.value;
      } else if (request || waiting > 0) {
        throw new AkinError(status.INTERNAL, "the server ended the import early");
      } else {
        return;
      }
    }
  } finally {
    stream.cancel();
    // Not awaited: the source may be waiting for an item that never comes.
    requests.return?.().catch(() => undefined);
  }
}

type Tagged<T, Kind> = { kind: Kind; done: true } | { kind: Kind; done: false; value: T };

/** What comes next, told apart from what comes next elsewhere. */
function next<T, Kind extends string>(from: AsyncIterator<T>, kind: Kind): Promise<Tagged<T, Kind>> {
  const tagged = from
    .next()
    .then((result): Tagged<T, Kind> => (result.done ? { kind, done: true } : { kind, done: false, value: result.value }));
  // It may fail when nobody waits for it any more.
  tagged.catch(() => undefined);
  return tagged;
}
