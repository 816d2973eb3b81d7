// Stores three items and a user, and recommends items for a text and for the user.
//
//     node dist/examples/quickstart.js [HOST:PORT]

import { AkinError, Client, ItemView } from "@akin/client";

const ITEMS = [
  { itemId: "shoe-1", text: "Lightweight trail running shoes with a grippy sole", attributes: { price: 89 } },
  { itemId: "shoe-2", text: "Waterproof leather boots for winter hikes", attributes: { price: 149 } },
  { itemId: "pan-1", text: "Cast iron skillet for searing steaks", attributes: { price: 45 } },
];

const client = new Client(process.argv[2] ?? "127.0.0.1:50051");

for await (const result of client.importItems(ITEMS)) {
  if (result.code !== 0) {
    console.log(`${result.itemId}: ${result.message}`);
  }
}

const forText = await client.recommendSimilar({ text: "jogging in the forest" });
for (const hit of forText.recommendations) {
  console.log(hit.score.toFixed(3), hit.itemId);
}

await client.upsertUser({
  user: { userId: "ann", preferences: [{ text: "cooking meat" }], likedItems: [{ itemId: "shoe-2" }] },
});
const forAnn = await client.recommendSimilar({ userId: "ann", view: ItemView.FULL });
for (const hit of forAnn.recommendations) {
  console.log(hit.score.toFixed(3), hit.item?.text);
}

try {
  await client.getItem({ itemId: "no such item" });
} catch (error) {
  if (!(error instanceof AkinError)) {
    throw error;
  }
  console.log("an item that does not exist:", error.codeName, error.reason);
}

client.close();
