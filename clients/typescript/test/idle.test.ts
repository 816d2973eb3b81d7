import assert from "node:assert/strict";
import * as net from "node:net";
import { test, type TestContext } from "node:test";

import { status, type sendUnaryData } from "@grpc/grpc-js";

import { Client, ImportItemsResponse } from "@akin/client";

import { address, serve, type Call, type DuplexStream } from "./server.js";

/** Short, so that the tests are fast, but long enough for a health check on a busy machine. */
const idleTimeoutMs = 1000;

interface Relay {
  address: string;
  cut: () => void;
  restore: () => void;
}

/**
 * Passes bytes between its callers and a server until the network between them is cut. Without a server,
 * it accepts connections and never responds.
 */
async function startRelay(t: TestContext, server?: string): Promise<Relay> {
  let isCut = false;
  const sockets: net.Socket[] = [];
  const relay = net.createServer((caller) => {
    sockets.push(caller);
    caller.on("error", () => undefined);
    if (!server) {
      return;
    }
    const target = net.connect(Number(server.split(":")[1]), "127.0.0.1");
    sockets.push(target);
    target.on("error", () => undefined);
    caller.on("data", (bytes) => isCut || target.write(bytes));
    target.on("data", (bytes) => isCut || caller.write(bytes));
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    relay.close();
  });
  const { port } = relay.address() as net.AddressInfo;
  return { address: `127.0.0.1:${port}`, cut: () => (isCut = true), restore: () => (isCut = false) };
}

const answerEach = (stream: DuplexStream): void => {
  stream.on("data", () => stream.write(Buffer.from(ImportItemsResponse.encode({ results: [] }).finish())));
  stream.on("end", () => stream.end());
};

async function importAll(client: Client, items: Iterable<{ itemId: string }>): Promise<void> {
  for await (const _ of client.importItems(items)) {
    // Only the end matters.
  }
}

test("an import ends with an error that names the server if the network drops all bytes", async (t) => {
  const server = address(await serve(t, { ImportItems: answerEach }));
  const network = await startRelay(t, server);
  const client = new Client(network.address, { idleTimeoutMs });
  t.after(() => client.close());
  function* items(): Generator<{ itemId: string }> {
    for (let number = 0; number < 3000; number++) {
      if (number === 1000) {
        network.cut();
      }
      yield { itemId: `${number}` };
    }
  }
  await assert.rejects(importAll(client, items()), {
    codeName: "UNAVAILABLE",
    details: `the server at ${network.address} has not responded for 1 seconds`,
  });
});

test("an import ends with an error if the peer accepts the connection and never responds", async (t) => {
  const client = new Client((await startRelay(t)).address, { idleTimeoutMs });
  t.after(() => client.close());
  await assert.rejects(importAll(client, [{ itemId: "a" }]), { codeName: "UNAVAILABLE" });
});

test("a client connects again after its peer accepted a connection and did not respond", async (t) => {
  const GetItem = (_: Call, respond: sendUnaryData<Buffer>): void => respond(null, Buffer.alloc(0));
  const network = await startRelay(t, address(await serve(t, { GetItem })));
  const client = new Client(network.address);
  t.after(() => client.close());
  network.cut();
  const failing = client.getItem({ itemId: "a" }, { timeoutMs: 6_000 });
  await assert.rejects(client.getItem({ itemId: "a" }, { timeoutMs: 200 }));
  network.restore();
  await assert.rejects(failing);
  await client.getItem({ itemId: "a" });
});

for (const code of [status.OK, status.UNIMPLEMENTED, status.UNAVAILABLE]) {
  test(`an import waits for a slow server whose health checks end with ${status[code]}`, async (t) => {
    let count = 0;
    let answer = (): void => undefined;
    const ImportItems = (stream: DuplexStream): void => {
      stream.on("data", () => {
        answer = () => {
          stream.write(Buffer.from(ImportItemsResponse.encode({ results: [] }).finish()));
          stream.end();
        };
      });
    };
    const Check = (_: Call, respond: sendUnaryData<Buffer>): void => {
      if (++count === 3) {
        answer();
      }
      respond(code === status.OK ? null : { code, details: "scripted" }, Buffer.alloc(0));
    };
    await importAll(await serve(t, { ImportItems, Check }, { idleTimeoutMs }), [{ itemId: "a" }]);
    assert.equal(count, 3);
  });
}

test("a proxy of the environment is not used for a server on this machine", async (t) => {
  const names = ["grpc_proxy", "https_proxy", "http_proxy"];
  const previous = names.map((name) => process.env[name]);
  names.forEach((name) => (process.env[name] = "http://127.0.0.1:1"));
  t.after(() => names.forEach((name, index) => restore(name, previous[index])));
  const GetItem = (_: Call, respond: sendUnaryData<Buffer>): void => respond(null, Buffer.alloc(0));
  const server = address(await serve(t, { GetItem }));
  const port = server.split(":")[1];
  for (const host of ["127.0.0.1", "localhost", "dns:///localhost"]) {
    const client = new Client(`${host}:${port}`);
    await client.getItem({ itemId: "a" });
    client.close();
  }
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) {
    delete process.env[name];
  } else {
    process.env[name] = value;
  }
}
