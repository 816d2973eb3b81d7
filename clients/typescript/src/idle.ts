import { Metadata, status, type Client } from "@grpc/grpc-js";

import { KEEPALIVE_MS } from "./channel.js";
import { AkinError, toAkinError } from "./errors.js";

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
  readonly #client: Client;
  readonly #stream: Stream;
  readonly #timeoutMs: number;
  #timer?: NodeJS.Timeout;
  #lastMessage = 0;
  #stopped = false;
  #isSilent = false;

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

  /** Decodes the error of the stream, and names the server if it was silent. */
  explain(error: unknown): unknown {
    const decoded = toAkinError(error);
    if (this.#isSilent) {
      return this.#makeError(this.#timeoutMs);
    }
    // gRPC pings regardless of messages, so a ping can fail before the idle timeout.
    const silentMs = Date.now() - this.#lastMessage;
    const isLost = decoded instanceof AkinError && decoded.code === status.UNAVAILABLE && !decoded.reason;
    return isLost && silentMs >= KEEPALIVE_MS ? this.#makeError(silentMs, error) : decoded;
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
        this.#isSilent = true;
        this.#stream.cancel();
        return;
      }
      this.#wait();
    });
  }

  #makeError(silentMs: number, cause?: unknown): AkinError {
    const server = this.#client.getChannel().getTarget().replace(/^dns:/, "");
    const seconds = Number((silentMs / 1000).toFixed(1));
    const details = `the server at ${server} has not responded for ${seconds} seconds`;
    return new AkinError(status.UNAVAILABLE, details, {}, cause);
  }
}
