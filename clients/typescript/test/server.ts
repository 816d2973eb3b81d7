import type { TestContext } from "node:test";

import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";

import {
  AnalysisServiceDefinition,
  CatalogServiceDefinition,
  Client,
  InteractionServiceDefinition,
  RecommenderServiceDefinition,
  type ClientOptions,
} from "@akin/client";

export type Call = ServerUnaryCall<Buffer, Buffer>;
export type ResponseStream = ServerWritableStream<Buffer, Buffer>;
export type DuplexStream = ServerDuplexStream<Buffer, Buffer>;

/** How a server handles a method, by its name in the protos. */
export type Handlers = Record<
  string,
  | ((call: Call, respond: sendUnaryData<Buffer>) => void)
  | ((stream: ResponseStream) => void)
  | ((stream: DuplexStream) => void)
>;

const SERVICES = [
  RecommenderServiceDefinition,
  CatalogServiceDefinition,
  InteractionServiceDefinition,
  AnalysisServiceDefinition,
];

/** The health check of gRPC, which has no stubs here. */
const HEALTH = {
  fullName: "grpc.health.v1.Health",
  methods: { check: { name: "Check", requestStream: false, responseStream: false } },
};

const addresses = new WeakMap<Client, string>();

/** Returns the address of the server that `serve` has started for a client. */
export function address(client: Client): string {
  return addresses.get(client)!;
}

const identity = (bytes: Buffer): Buffer => bytes;

/** Starts a server with some methods, whose messages stay encoded, and returns a client of it. */
export async function serve(t: TestContext, handlers: Handlers, options: ClientOptions = {}): Promise<Client> {
  const server = new Server();
  for (const { fullName, methods } of [...SERVICES, HEALTH]) {
    for (const { name, requestStream, responseStream } of Object.values(methods)) {
      if (handlers[name]) {
        const path = `/${fullName}/${name}`;
        const serialization = {
          requestSerialize: identity,
          requestDeserialize: identity,
          responseSerialize: identity,
          responseDeserialize: identity,
        };
        const definition = { [name]: { path, requestStream, responseStream, ...serialization } };
        server.addService(definition, { [name]: handlers[name] } as never);
      }
    }
  }
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, number: number): void => (error ? reject(error) : resolve(number));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), bound);
  });
  const client = new Client(`127.0.0.1:${port}`, options);
  addresses.set(client, `127.0.0.1:${port}`);
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return client;
}
