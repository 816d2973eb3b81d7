import assert from "node:assert/strict";
import { test } from "node:test";

import { status } from "@grpc/grpc-js";

import { ImportItemsRequest, ImportItemsResponse } from "../src/generated/akin/v1/recommender_service.js";
import { serve, type DuplexStream } from "./server.js";

interface Text {
  itemId: string;
  text: string;
}

/** More items than one message has. */
const AVAILABLE = 300;

/** Answers no message, and ends the import with NOT_FOUND after the first one. */
function refuse(stream: DuplexStream): void {
  stream.on("data", () => stream.emit("error", { code: status.NOT_FOUND, details: "no such catalog" }));
}

/** Answers all messages. */
function accept(stream: DuplexStream): void {
  stream.on("data", (bytes: Buffer) => {
    const results = ImportItemsRequest.decode(bytes).items.map(({ itemId }) => ({ itemId }));
    stream.write(Buffer.from(ImportItemsResponse.encode(ImportItemsResponse.fromPartial({ results })).finish()));
  });
}

/** Items of which the first 300 are available, and the others once they are released. */
class BlockedItems {
  readCount = 0;
  readonly ended: Promise<void>;
  readonly release: () => void;
  readonly #released: Promise<void>;
  #end!: () => void;

  constructor() {
    let release!: () => void;
    this.#released = new Promise((resolve) => (release = resolve));
    this.release = release;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  async *generate(): AsyncGenerator<Text> {
    try {
      for (;;) {
        if (this.readCount === AVAILABLE) {
          await this.#released;
        }
        this.readCount++;
        yield { itemId: "a", text: "b" };
      }
    } finally {
      this.#end();
    }
  }
}

test("an error of the server arrives while the items block, which are then read no further", async (t) => {
  const client = await serve(t, { ImportItems: refuse });
  const items = new BlockedItems();
  await assert.rejects(client.importItems(items.generate()).next(), { codeName: "NOT_FOUND" });
  items.release();
  await items.ended;
  assert.ok(items.readCount <= AVAILABLE + 1, `${items.readCount} items were read`);
});

test("an error of the server ends endless items", async (t) => {
  const client = await serve(t, { ImportItems: refuse });
  const items = new BlockedItems();
  items.release();
  await assert.rejects(client.importItems(items.generate()).next(), { codeName: "NOT_FOUND" });
  await items.ended;
});

test("leaving an import ends the items", async (t) => {
  const client = await serve(t, { ImportItems: accept });
  const items = new BlockedItems();
  for await (const result of client.importItems(items.generate())) {
    assert.equal(result.itemId, "a");
    break;
  }
  items.release();
  await items.ended;
  assert.ok(items.readCount <= AVAILABLE + 1, `${items.readCount} items were read`);
});

test("the end of an import ends an iterator that waits", async (t) => {
  const client = await serve(t, { ImportItems: refuse });
  let readCount = 0;
  const ended = new Promise<void>((end) => {
    const items: AsyncIterableIterator<Text> = {
      [Symbol.asyncIterator]: () => items,
      next: () =>
        readCount++ < AVAILABLE
          ? Promise.resolve({ done: false, value: { itemId: "a", text: "b" } })
          : new Promise(() => undefined),
      return: () => {
        end();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
    void assert.rejects(client.importItems(items).next(), { codeName: "NOT_FOUND" });
  });
  await ended;
});

test("the end of an import of batches ends the batches", async (t) => {
  const client = await serve(t, { ImportItems: refuse });
  let readCount = 0;
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  async function* batches(): AsyncGenerator<{ items: Text[] }> {
    try {
      for (;;) {
        readCount++;
        yield { items: [{ itemId: "a", text: "b" }] };
      }
    } finally {
      end();
    }
  }
  await assert.rejects(client.importItemBatches(batches()).next(), { codeName: "NOT_FOUND" });
  await ended;
  assert.ok(readCount < AVAILABLE);
});
