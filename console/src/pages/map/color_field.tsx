import { useState } from "preact/hooks";

import type { Attributes, Item } from "../../api/types";
import { formatPlural } from "../../format";
import { Progress } from "../../parts/bar";
import { TextField } from "../../parts/field";

const BATCH_ITEMS = 500;

// The server answers two calls at a time without delaying recommendations much.
const CONCURRENT_CALLS = 2;

/** Load the attributes of items. Texts, which are much larger, are dropped at once. */
export async function loadAttributes(
  ids: string[],
  load: (part: string[]) => Promise<Item[]>,
  onCount: (count: number) => void,
): Promise<Map<string, Attributes>> {
  const attributes = new Map<string, Attributes>();
  let start = 0;
  let count = 0;
  const loadParts = async () => {
    while (start < ids.length) {
      const part = ids.slice(start, (start += BATCH_ITEMS));
      for (const item of await load(part)) attributes.set(item.itemId, item.attributes ?? {});
      onCount((count += part.length));
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENT_CALLS }, loadParts));
  } finally {
    // After an error, the other calls end as well.
    start = ids.length;
  }
  return attributes;
}

interface ColorFieldProps {
  onAttribute: (name: string) => void;
  /** The number of items whose attributes are loaded; undefined while nothing is loading. */
  loaded: number | undefined;
  total: number;
}

/** The choice of an attribute whose values color the points. */
export function ColorField({ onAttribute, loaded, total }: ColorFieldProps) {
  const [name, setName] = useState("");
  return (
    <>
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          onAttribute(name.trim());
        }}
      >
        <TextField label="Color by attribute" value={name} onValue={setName} placeholder="empty: by cluster" />
        <button class="button">Color</button>
      </form>
      {loaded !== undefined && (
        <Progress share={loaded / total} label={`Loading the attributes of ${formatPlural(total, "item")}`} />
      )}
    </>
  );
}
