import { status, type ClientDuplexStream } from "@grpc/grpc-js";

import { AkinError } from "./errors.js";
import { encode, type AnyIterable, type MessageType } from "./methods.js";

/** A message of this length is small enough to show progress and large enough for a shared commit. */
const MAX_BATCH_LENGTH = 256;

/** Servers reject messages of more than 16 MiB. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** This many messages without a response keep the server busy while responses travel. */
const MAX_PENDING_MESSAGES = 4;

/**
 * Returns the values of a source until a signal aborts. The source is then ended at once, even while it
 * waits for its next value, unless it is an async generator: that ends when it yields or returns.
 */
export async function* readUntil<T>(signal: AbortSignal, source: AnyIterable<T>): AsyncGenerator<T> {
  for await (const value of endable(signal, source)) {
    if (signal.aborted) {
      return;
    }
    yield value;
  }
}

function endable<T>(signal: AbortSignal, source: AnyIterable<T>): AnyIterable<T> {
  if (!(Symbol.asyncIterator in source)) {
    return source;
  }
  const iterator = source[Symbol.asyncIterator]();
  const end = async (): Promise<void> => void (await iterator.return?.());
  // An error of the end has no reader: the import has ended with an error or a result of its own.
  signal.addEventListener("abort", () => void end().catch(() => undefined), { once: true });
  return { [Symbol.asyncIterator]: () => iterator };
}

/** Yields batches of up to 256 resources and 4 MiB. A larger resource is a batch of its own. */
export async function* split<Message, Input>(
  type: MessageType<Message, Input>,
  resources: AnyIterable<Input>,
): AsyncGenerator<Input[]> {
  let batch: Input[] = [];
  let bytes = 0;
  for await (const resource of resources) {
    const length = encode(type, resource).length;
    if (batch.length === MAX_BATCH_LENGTH || (batch.length > 0 && bytes + length > MAX_BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(resource);
    bytes += length;
  }
  if (batch.length > 0) {
    yield batch;
  }
}

/**
 * Imports resources in batches, and yields the responses. The end of the import ends the resources.
 *
 * @param request makes a request of a batch
 * @param send sends the requests and yields the responses
 */
export async function* importAll<Message, Input, Request, Response>(
  type: MessageType<Message, Input>,
  resources: AnyIterable<Input>,
  request: (batch: Input[]) => Request,
  send: (requests: AsyncGenerator<Request>) => AsyncGenerator<Response>,
): AsyncGenerator<Response> {
  const end = new AbortController();
  async function* requests(): AsyncGenerator<Request> {
    for await (const batch of split(type, readUntil(end.signal, resources))) {
      yield request(batch);
    }
  }
  try {
    yield* send(requests());
  } finally {
    end.abort();
  }
}

/**
 * Sends requests and yields responses. It reads a request only while few responses are pending, and
 * yields responses while it waits for the next request.
 */
export async function* exchange<Response>(
  stream: ClientDuplexStream<Buffer, Response>,
  requests: AsyncIterator<Buffer>,
): AsyncGenerator<Response> {
  // The iterator of responses throws the error. A second error, after its end, would end the process.
  stream.on("error", () => undefined);
  const responses: AsyncIterator<Response> = stream[Symbol.asyncIterator]();
  let response = next(responses, "response");
  let request: ReturnType<typeof next<Buffer, "request">> | undefined = next(requests, "request");
  let pending = 0;
  try {
    for (;;) {
      const first = await Promise.race(request && pending < MAX_PENDING_MESSAGES ? [response, request] : [response]);
      if (first.kind === "request") {
        if (first.done) {
          request = undefined;
          stream.end();
        } else {
          stream.write(first.value);
          pending++;
          request = next(requests, "request");
        }
      } else if (!first.done) {
        pending--;
        response = next(responses, "response");
        yield first.value;
      } else if (request || pending > 0) {
        throw new AkinError(status.INTERNAL, "the server ended the import early");
      } else {
        return;
      }
    }
  } finally {
    stream.cancel();
    // Not awaited, because the source may wait for a value that never comes.
    requests.return?.().catch(() => undefined);
  }
}

type Tagged<T, Kind> = { kind: Kind; done: true } | { kind: Kind; done: false; value: T };

/** Returns the next value of an iterator, tagged with the kind of the iterator. */
function next<T, Kind extends string>(iterator: AsyncIterator<T>, kind: Kind): Promise<Tagged<T, Kind>> {
  const tagged = iterator
    .next()
    .then((result): Tagged<T, Kind> => (result.done ? { kind, done: true } : { kind, done: false, value: result.value }));
  // It can reject when nobody awaits it any more.
  tagged.catch(() => undefined);
  return tagged;
}
