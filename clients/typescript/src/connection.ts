import { Client as GrpcClient, connectivityState } from "@grpc/grpc-js";

import { channelCredentials, channelOptions, type ClientOptions } from "./channel.js";

/** Without a connection for this time, the next call starts with a new channel. */
const MAX_DISCONNECTED_MS = 5_000;

/** Calls on a replaced channel can still be in progress, and can retry, for this time. */
const REPLACED_MS = 60_000;

/**
 * The channel of a client.
 *
 * gRPC for Node.js waits without end for a peer that accepts a connection and does not respond, and
 * for minutes for one that has vanished from the network. No option changes this. Therefore, a channel
 * that does not connect is replaced.
 */
export class Connection {
  readonly #address: string;
  readonly #options: ClientOptions;
  readonly #replaced = new Map<GrpcClient, NodeJS.Timeout>();
  #grpc: GrpcClient;
  #disconnectedSince?: number;

  /** Throws if the connection would send an API key without TLS. */
  constructor(address: string, options: ClientOptions) {
    this.#address = address;
    this.#options = options;
    this.#grpc = this.#create();
  }

  /** Returns the gRPC client for a call. */
  open(): GrpcClient {
    const state = this.#grpc.getChannel().getConnectivityState(false);
    if (state !== connectivityState.CONNECTING && state !== connectivityState.TRANSIENT_FAILURE) {
      this.#disconnectedSince = undefined;
    } else {
      this.#disconnectedSince ??= Date.now();
      if (Date.now() - this.#disconnectedSince > MAX_DISCONNECTED_MS) {
        this.#replace();
      }
    }
    return this.#grpc;
  }

  /** Closes the connection when all running calls have ended. */
  close(): void {
    this.#grpc.close();
    for (const [replaced, timer] of this.#replaced) {
      clearTimeout(timer);
      replaced.close();
    }
    this.#replaced.clear();
  }

  #create(): GrpcClient {
    const credentials = channelCredentials(this.#address, this.#options);
    return new GrpcClient(this.#address, credentials, channelOptions(this.#address, this.#options));
  }

  #replace(): void {
    const replaced = this.#grpc;
    const timer = setTimeout(() => {
      this.#replaced.delete(replaced);
      replaced.close();
    }, REPLACED_MS);
    timer.unref();
    this.#replaced.set(replaced, timer);
    this.#grpc = this.#create();
    this.#disconnectedSince = undefined;
  }
}
