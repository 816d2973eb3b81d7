import { Client as GrpcClient, Metadata, type CallOptions as GrpcOptions } from "@grpc/grpc-js";

import { channelCredentials, channelOptions, type ClientOptions } from "./channel.js";
import { toAkinError } from "./errors.js";
import { CatalogServiceDefinition } from "./generated/akin/v1/catalog_service.js";
import type { ItemResult } from "./generated/akin/v1/item.js";
import { RecommenderServiceDefinition, type ImportItemsResponse } from "./generated/akin/v1/recommender_service.js";
import { batches, converse } from "./import.js";
import { encode } from "./methods.js";
import type {
  AnyIterable,
  CallOptions,
  ImportInput,
  ImportOptions,
  ItemInput,
  Method,
  Service,
  UnaryMethods,
} from "./methods.js";

const TIMEOUT_MS = 10_000;

const SERVICES: readonly Service[] = [RecommenderServiceDefinition, CatalogServiceDefinition];

type AllMethods = UnaryMethods<RecommenderServiceDefinition> & UnaryMethods<CatalogServiceDefinition>;

/**
 * A connection to an Akin server; any number of calls may share it. It connects with the first call.
 *
 * Every unary method of the services is a method here: it takes the request, whose fields may be left
 * out, and promises the response. A call that fails rejects with an AkinError.
 */
export interface Client extends AllMethods {}

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
          const value = function (this: Client, request: object, options?: CallOptions): Promise<unknown> {
            return this.#unary(service, method, request, options);
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

  async #unary(service: Service, method: Method, request: object, options: CallOptions = {}): Promise<unknown> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    signal?.throwIfAborted();
    const bytes = encode(method.requestType, this.#withCatalog(request));
    let cancel = (): void => undefined;
    try {
      return await new Promise((resolve, reject) => {
        const call = this.#grpc.makeUnaryRequest(
          path(service, method),
          identity,
          (response: Buffer): unknown => method.responseType.decode(response),
          bytes,
          this.#metadata,
          deadline(timeoutMs),
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
