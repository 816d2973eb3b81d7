import { Metadata, type CallOptions as GrpcOptions } from "@grpc/grpc-js";

import { setAtEnd, withRequestId } from "./call_info.js";
import type { ClientOptions } from "./channel.js";
import { Connection } from "./connection.js";
import { toAkinError } from "./errors.js";
import { AnalysisServiceDefinition } from "./generated/akin/v1/analysis_service.js";
import { CatalogServiceDefinition } from "./generated/akin/v1/catalog_service.js";
import { Interaction } from "./generated/akin/v1/interaction.js";
import {
  InteractionServiceDefinition,
  type ImportInteractionsResponse,
} from "./generated/akin/v1/interaction_service.js";
import { Item, type ItemResult } from "./generated/akin/v1/item.js";
import {
  RecommenderServiceDefinition,
  type ImportItemsResponse,
  type ImportUsersResponse,
} from "./generated/akin/v1/recommender_service.js";
import { User, type UserResult } from "./generated/akin/v1/user.js";
import { IdleWatch } from "./idle.js";
import { exchange, importAll, readUntil } from "./import.js";
import { FailurePositions, withTimes } from "./interactions.js";
import { encode } from "./methods.js";
import type {
  AnyIterable,
  CallOptions,
  Calls,
  ImportInteractionsInput,
  ImportInteractionsOptions,
  ImportItemsInput,
  ImportItemsOptions,
  ImportUsersInput,
  ImportUsersOptions,
  InteractionInput,
  ItemInput,
  Method,
  Service,
  UserInput,
} from "./methods.js";

/** The default deadline of a call. */
const TIMEOUT_MS = 10_000;

/** The default idle timeout of a stream. */
const IDLE_TIMEOUT_MS = 20_000;

/** The default deadline of a call that examines a whole catalog. */
const ANALYSIS_TIMEOUT_MS = 600_000;

const WHOLE_CATALOG_METHODS = new Set(["FindDuplicates", "FindOutliers", "ClusterItems"]);

/** Their requests must name a catalog, so that no forgotten name deletes the catalog of the client. */
const EXPLICIT_CATALOG_METHODS = new Set(["CreateCatalog", "DeleteCatalog"]);

/** Their requests have interactions to record. */
const RECORDING_METHODS = new Set(["RecordInteractions", "ImportInteractions"]);

const SERVICES: readonly Service[] = [
  RecommenderServiceDefinition,
  CatalogServiceDefinition,
  InteractionServiceDefinition,
  AnalysisServiceDefinition,
];

type AllCalls = Calls<RecommenderServiceDefinition> &
  Calls<CatalogServiceDefinition> &
  Calls<InteractionServiceDefinition> &
  Calls<AnalysisServiceDefinition>;

/**
 * A connection to an Akin server, which connects at the first call. Any number of calls can share it.
 *
 * Every method of the API is a method of the client. It takes a request, which may omit fields, and
 * returns a promise of the response. A call that fails rejects with an AkinError. `findDuplicates`
 * returns an async iterator of responses instead: the call starts when the iteration starts, and
 * leaving the loop cancels it. The imports also return async iterators.
 */
export interface Client extends AllCalls {}

export class Client {
  readonly #connection: Connection;
  readonly #options: ClientOptions;
  readonly #metadata = new Metadata();
  readonly #catalog: string;
  readonly #timeoutMs: number;
  readonly #idleTimeoutMs: number;

  /**
   * Throws if the client would send an API key without TLS. If the host of the address (`host:port`) has several
   * addresses, each is a replica, and calls are spread over them.
   */
  constructor(address: string | Connection, options: ClientOptions = {}) {
    this.#connection = typeof address === "string" ? new Connection(address, options) : address;
    this.#options = options;
    if (options.apiKey) {
      this.#metadata.set("authorization", `Bearer ${options.apiKey}`);
    }
    this.#catalog = options.catalog ?? "";
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  static {
    for (const service of SERVICES) {
      for (const [name, method] of Object.entries(service.methods)) {
        if (!method.requestStream) {
          const value = function (this: Client, request: object, options?: CallOptions): unknown {
            return method.responseStream
              ? this.#stream(service, method, request, options)
              : this.#unary(service, method, request, options);
          };
          Object.defineProperty(Client.prototype, name, { value, writable: true, configurable: true });
        }
      }
    }
  }

  /**
   * Returns a client of a catalog, which shares the connection: requests that name no catalog use this one.
   * `createCatalog` and `deleteCatalog` always need a name. Closing one of the clients closes the connection of both.
   */
  catalog(name: string): Client {
    return new Client(this.#connection, { ...this.#options, catalog: name });
  }

  /** Closes the connection when all running calls have ended. */
  close(): void {
    this.#connection.close();
  }

  /**
   * Stores many items and yields one result for each, in order. It reads the items while earlier
   * results arrive.
   *
   * An invalid item does not affect the others: its result has a code other than 0. An AkinError ends
   * the import. Items whose results came before it are stored. The import starts when the iteration
   * starts, and leaving the loop cancels it.
   */
  async *importItems(items: AnyIterable<ItemInput>, options: ImportItemsOptions = {}): AsyncGenerator<ItemResult> {
    const { catalog, requireIndexed, validateOnly } = options;
    const request = (batch: ItemInput[]): ImportItemsInput => ({ catalog, items: batch, requireIndexed, validateOnly });
    for await (const response of importAll(Item, items, request, (all) => this.importItemBatches(all, options))) {
      yield* response.results;
    }
  }

  /** Stores many users. It works like `importItems`. */
  async *importUsers(users: AnyIterable<UserInput>, options: ImportUsersOptions = {}): AsyncGenerator<UserResult> {
    const { catalog, validateOnly } = options;
    const request = (batch: UserInput[]): ImportUsersInput => ({ catalog, users: batch, validateOnly });
    for await (const response of importAll(User, users, request, (all) => this.importUserBatches(all, options))) {
      yield* response.results;
    }
  }

  /**
   * Records many interactions, and yields the response to each message, in order. It works like `importItems`. The
   * positions of failures count from the first interaction of the import.
   *
   * An interaction without a time gets the present one.
   */
  async *importInteractions(
    interactions: AnyIterable<InteractionInput>,
    options: ImportInteractionsOptions = {},
  ): AsyncGenerator<ImportInteractionsResponse> {
    const { catalog, validateOnly } = options;
    const positions = new FailurePositions();
    const request = (batch: InteractionInput[]): ImportInteractionsInput => {
      positions.add(batch.length);
      return { catalog, interactions: batch, validateOnly };
    };
    const send = (all: AsyncGenerator<ImportInteractionsInput>): AsyncGenerator<ImportInteractionsResponse> =>
      this.importInteractionBatches(all, options);
    for await (const response of importAll(Interaction, interactions, request, send)) {
      positions.complete(response);
      yield response;
    }
  }

  /** Stores items in batches of the caller's own, and yields the results and the usage of each. */
  importItemBatches(
    requests: AnyIterable<ImportItemsInput>,
    options?: CallOptions,
  ): AsyncGenerator<ImportItemsResponse> {
    return this.#exchange(RecommenderServiceDefinition, "importItems", requests, options);
  }

  /** Stores users in batches of the caller's own, and yields the results and the usage of each. */
  importUserBatches(
    requests: AnyIterable<ImportUsersInput>,
    options?: CallOptions,
  ): AsyncGenerator<ImportUsersResponse> {
    return this.#exchange(RecommenderServiceDefinition, "importUsers", requests, options);
  }

  /** Records interactions in batches of the caller's own, and yields the response to each. */
  importInteractionBatches(
    requests: AnyIterable<ImportInteractionsInput>,
    options?: CallOptions,
  ): AsyncGenerator<ImportInteractionsResponse> {
    return this.#exchange(InteractionServiceDefinition, "importInteractions", requests, options);
  }

  async *#exchange<Response>(
    service: Service,
    name: string,
    requests: AnyIterable<object>,
    { signal, timeoutMs = Infinity, callInfo }: CallOptions = {},
  ): AsyncGenerator<Response> {
    signal?.throwIfAborted();
    const method: Method<any, any, Response> = service.methods[name]!;
    const grpc = this.#connection.open();
    const stream = grpc.makeBidiStreamRequest(
      path(service, method),
      identity,
      (bytes: Buffer) => method.responseType.decode(bytes),
      withRequestId(this.#metadata, callInfo),
      deadline(timeoutMs),
    );
    setAtEnd(stream, callInfo);
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel);
    const watch = new IdleWatch(grpc, stream, this.#idleTimeoutMs);
    const end = new AbortController();
    try {
      for await (const response of exchange(stream, this.#encodeAll(method, readUntil(end.signal, requests)))) {
        watch.restart();
        yield response;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw watch.explain(error);
    } finally {
      end.abort();
      watch.stop();
      signal?.removeEventListener("abort", cancel);
    }
  }

  async *#encodeAll(method: Method, requests: AnyIterable<object>): AsyncGenerator<Buffer> {
    for await (const request of requests) {
      yield this.#encode(method, request);
    }
  }

  #encode(method: Method, request: { catalog?: string; interactions?: InteractionInput[] }): Buffer {
    const timed = RECORDING_METHODS.has(method.name) ? withTimes(request) : request;
    const explicit = EXPLICIT_CATALOG_METHODS.has(method.name);
    return encode(method.requestType, explicit ? timed : { ...timed, catalog: request.catalog ?? this.#catalog });
  }

  #deadline(method: Method, timeoutMs?: number): GrpcOptions {
    return deadline(timeoutMs ?? (WHOLE_CATALOG_METHODS.has(method.name) ? ANALYSIS_TIMEOUT_MS : this.#timeoutMs));
  }

  async *#stream(
    service: Service,
    method: Method,
    request: object,
    { signal, timeoutMs, callInfo }: CallOptions = {},
  ): AsyncGenerator<unknown> {
    signal?.throwIfAborted();
    const grpc = this.#connection.open();
    const stream = grpc.makeServerStreamRequest(
      path(service, method),
      identity,
      (response: Buffer): unknown => method.responseType.decode(response),
      this.#encode(method, request),
      withRequestId(this.#metadata, callInfo),
      this.#deadline(method, timeoutMs),
    );
    setAtEnd(stream, callInfo);
    // The iteration throws the error. A second error, after its end, would end the process.
    stream.on("error", () => undefined);
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel);
    const watch = new IdleWatch(grpc, stream, this.#idleTimeoutMs);
    try {
      for await (const response of stream) {
        watch.restart();
        yield response;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw watch.explain(error);
    } finally {
      watch.stop();
      signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  async #unary(
    service: Service,
    method: Method,
    request: object,
    { signal, timeoutMs, callInfo }: CallOptions = {},
  ): Promise<unknown> {
    signal?.throwIfAborted();
    const bytes = this.#encode(method, request);
    let cancel = (): void => undefined;
    try {
      return await new Promise((resolve, reject) => {
        const call = this.#connection.open().makeUnaryRequest(
          path(service, method),
          identity,
          (response: Buffer): unknown => method.responseType.decode(response),
          bytes,
          withRequestId(this.#metadata, callInfo),
          this.#deadline(method, timeoutMs),
          (error, response) => (error ? reject(error) : resolve(response)),
        );
        setAtEnd(call, callInfo);
        cancel = () => call.cancel();
        signal?.addEventListener("abort", cancel);
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw toAkinError(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }
}

function path(service: { fullName: string }, method: { name: string }): string {
  return `/${service.fullName}/${method.name}`;
}

function identity(bytes: Buffer): Buffer {
  return bytes;
}

function deadline(timeoutMs: number): GrpcOptions {
  return { deadline: Date.now() + timeoutMs };
}
