import { useState } from "preact/hooks";

import type { Item } from "../../api/types";
import { Confirm, Dialog } from "../../parts/dialog";
import { TextField } from "../../parts/field";
import { Notice } from "../../parts/notice";
import { useSession } from "../../state";

export function NewItemDialog({ onClose }: { onClose: () => void }) {
  const { api } = useSession();
  const [itemId, setItemId] = useState("");
  const [text, setText] = useState("");
  const [pending, setPending] = useState<Item>();
  const store = async () => {
    if (!itemId.trim()) throw new Error("The item needs an id.");
    const item = await api.createItem({ itemId: itemId.trim(), text });
    if (item.state === "ITEM_STATE_PENDING") setPending(item);
    else onClose();
  };
  if (pending) return <PendingDialog item={pending} onClose={onClose} />;
  return (
    <Confirm title="New item" verb="Store" isDangerous={false} work={store} onClose={onClose} onDone={() => undefined}>
      <TextField label="Id" value={itemId} onValue={setItemId} required />
      <TextField label="Text" value={text} onValue={setText} lines={6} hint="It is embedded, which a provider may charge." />
    </Confirm>
  );
}

function PendingDialog({ item, onClose }: { item: Item; onClose: () => void }) {
  return (
    <Dialog title="New item" onClose={onClose}>
      <Notice kind="warning">
        <p>
          The item is stored, but not yet recommended: {item.pendingMessage} <code>{item.pendingReason}</code>
        </p>
        <p>The server tries to embed the text again by itself.</p>
      </Notice>
      <div class="actions">
        <button class="button button-main" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
