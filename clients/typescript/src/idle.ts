import { Metadata, status, type Client } from "@grpc/grpc-js";

import { AkinError } from "./errors.js";

const HEALTH_CHECK = "/grpc.health.v1.Health/Check";

/** Health checks are empty messages, and their responses are not read. */
const identity = (bytes: Buffer): Buffer => bytes;

/** A stream that can be cancelled. */
interface Stream {
  cancel(): void;
}

/**
 * Cancels a stream if the server sends no message for half of the timeout, and then does not answer a
 * health check in the other half.
 *
 * A server can need minutes for a message, for example while its embedding provider limits the rate.
 * Therefore, a silent server is asked for its health before the stream ends.
 */
export class IdleWatch {
  /** The reason of the cancellation. Unset if the stream was not cancelled. */
  error?: AkinError;

  readonly #client: Client;
  readonly #stream: Stream;
  readonly #timeoutMs: number;
  #timer?: NodeJS.Timeout;
  #lastMessage = 0;
  #stopped = false;

  constructor(client: Client, stream: Stream, timeoutMs: number) {
    this.#client = client;
    this.#stream = stream;
    this.#timeoutMs = timeoutMs;
    this.restart();
    if (timeoutMs !== Infinity) {
      this.#wait();
    }
  }

  /** Begins again, because a message has arrived. */
  restart(): void {
    this.#lastMessage = Date.now();
  }

  /** Ends the watch, because the stream has ended. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const remainingMs = this.#lastMessage + this.#timeoutMs / 2 - Date.now();
    this.#timer = setTimeout(() => {
      if (Date.now() < this.#lastMessage + this.#timeoutMs / 2) {
        this.#wait();
      } else {
        this.#check();
      }
    }, remainingMs);
  }

  #check(): void {
    const lastMessage = this.#lastMessage;
    const options = { deadline: Date.now() + this.#timeoutMs / 2 };
    const empty = Buffer.alloc(0);
    this.#client.makeUnaryRequest(HEALTH_CHECK, identity, identity, empty, new Metadata(), options, (error) => {
      if (this.#stopped) {
        return;
      }
      // Each other answer counts, even an error.
      if (error?.code !== status.DEADLINE_EXCEEDED) {
        this.restart();
      } else if (lastMessage === this.#lastMessage) {
        this.error = this.#makeError();
        this.#stream.cancel();
        return;
      }
      this.#wait();
    });
  }

  #makeError(): AkinError {
    const server = this.#client.getChannel().getTarget().replace(/^dns:/, "");
    const seconds = this.#timeoutMs / 1000;
    return new AkinError(status.UNAVAILABLE, `the server at ${server} has not responded for ${seconds} seconds`);
  }
}
