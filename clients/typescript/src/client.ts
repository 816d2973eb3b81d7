import { Client as GrpcClient, Metadata, type CallOptions as GrpcOptions } from "@grpc/grpc-js";

import { channelCredentials, channelOptions, type ClientOptions } from "./channel.js";
import { toAkinError } from "./errors.js";
import { AnalysisServiceDefinition } from "./generated/akin/v1/analysis_service.js";
import { CatalogServiceDefinition } from "./generated/akin/v1/catalog_service.js";
import type { ItemResult } from "./generated/akin/v1/item.js";
import { RecommenderServiceDefinition, type ImportItemsResponse } from "./generated/akin/v1/recommender_service.js";
import { batches, converse } from "./import.js";
import { encode } from "./methods.js";
import type {
  AnyIterable,
  CallOptions,
  Calls,
  ImportInput,
  ImportOptions,
  ItemInput,
  Method,
  Service,
} from "./methods.js";

const TIMEOUT_MS = 10_000;

/** For what goes through a whole catalog. */
const ANALYSIS_TIMEOUT_MS = 600_000;

const ANALYSES = new Set(["FindDuplicates", "FindOutliers", "ClusterItems"]);

/** They name a catalog always: the client's own must not be deleted because a request left it out. */
const NAMING = new Set(["CreateCatalog", "DeleteCatalog"]);

const SERVICES: readonly Service[] = [
  RecommenderServiceDefinition,
  CatalogServiceDefinition,
  AnalysisServiceDefinition,
];

type AllCalls = Calls<RecommenderServiceDefinition> &
  Calls<CatalogServiceDefinition> &
  Calls<AnalysisServiceDefinition>;

/**
 * A connection to an Akin server; any number of calls may share it. It connects with the first call.
 *
 * Every method of the services that takes one request is a method here: it takes the request, whose
 * fields may be left out, and promises the response. `findDuplicates` gives its responses to go through
 * instead; it begins with the first, and leaving the loop early ends it. A call that fails rejects with
 * an AkinError.
 */
export interface Client extends AllCalls {}

export class Client {
  readonly #grpc: GrpcClient;
  readonly #metadata = new Metadata();
  readonly #catalog: string;
  readonly #timeoutMs: number;

  /** Throws if the options would send an API key in the open. */
  constructor(address: string, options: ClientOptions = {}) {
    this.#grpc = new GrpcClient(address, channelCredentials(address, options), channelOptions(options));
    if (options.apiKey) {
      this.#metadata.set("authorization", `Bearer ${options.apiKey}`);
    }
    this.#catalog = options.catalog ?? "";
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
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

  /** Ends the connection once the calls under way are done. */
  close(): void {
    this.#grpc.close();
  }

  /**
   * Stores many items, and yields one result for each, in order, while items are still being read.
   *
   * An item that is refused fails alone: its result has a code other than 0. An AkinError ends the
   * import; the items whose results came before it are stored. Nothing happens until the results are
   * iterated over; leaving the loop early ends the import.
   */
  async *importItems(items: AnyIterable<ItemInput>, options: ImportOptions = {}): AsyncGenerator<ItemResult> {
    const { catalog, requireIndexed, validateOnly } = options;
    async function* requests(): AsyncGenerator<ImportInput> {
      for await (const batch of batches(items)) {
        yield { catalog, items: batch, requireIndexed, validateOnly };
      }
    }
    for await (const response of this.importBatches(requests(), options)) {
      yield* response.results;
    }
  }

  /**
   * The same, message by message: for batches of one's own, and for what embedding each of them took.
   */
  async *importBatches(
    requests: AnyIterable<ImportInput>,
    options: CallOptions = {},
  ): AsyncGenerator<ImportItemsResponse> {
    const { signal, timeoutMs = Infinity } = options;
    signal?.throwIfAborted();
    const method = RecommenderServiceDefinition.methods.importItems;
    const stream = this.#grpc.makeBidiStreamRequest(
      path(RecommenderServiceDefinition, method),
      identity,
      (bytes: Buffer) => method.responseType.decode(bytes),
      this.#metadata,
      deadline(timeoutMs),
    );
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel);
    try {
      yield* converse(stream, this.#named(requests));
    } catch (error) {
      signal?.throwIfAborted();
      throw toAkinError(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  async *#named(requests: AnyIterable<ImportInput>): AsyncGenerator<ImportInput> {
    for await (const request of requests) {
      yield this.#withCatalog(request);
    }
  }

  #withCatalog<Request extends { catalog?: string }>(request: Request): Request {
    return { ...request, catalog: request.catalog ?? this.#catalog };
  }

  #encoded(method: Method, request: object): Buffer {
    return encode(method.requestType, NAMING.has(method.name) ? request : this.#withCatalog(request));
  }

  #deadline(method: Method, timeoutMs?: number): GrpcOptions {
    return deadline(timeoutMs ?? (ANALYSES.has(method.name) ? ANALYSIS_TIMEOUT_MS : this.#timeoutMs));
  }

  async *#stream(
    service: Service,
    method: Method,
    request: object,
    { signal, timeoutMs }: CallOptions = {},
  ): AsyncGenerator<unknown> {
    signal?.throwIfAborted();
    const stream = this.#grpc.makeServerStreamRequest(
      path(service, method),
      identity,
      (response: Buffer): unknown => method.responseType.decode(response),
      this.#encoded(method, request),
      this.#metadata,
      this.#deadline(method, timeoutMs),
    );
    // An error reaches whoever goes through it; one after the end would end the process.
    stream.on("error", () => undefined);
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel);
    try {
      yield* stream;
    } catch (error) {
      signal?.throwIfAborted();
      throw toAkinError(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  async #unary(
    service: Service,
    method: Method,
    request: object,
    { signal, timeoutMs }: CallOptions = {},
  ): Promise<unknown> {
    signal?.throwIfAborted();
    const bytes = this.#encoded(method, request);
    let cancel = (): void => undefined;
    try {
      return await new Promise((resolve, reject) => {
        const call = this.#grpc.makeUnaryRequest(
          path(service, method),
          identity,
          (response: Buffer): unknown => method.responseType.decode(response),
          bytes,
          this.#metadata,
          this.#deadline(method, timeoutMs),
          (error, response) => (error ? reject(error) : resolve(response)),
        );
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
