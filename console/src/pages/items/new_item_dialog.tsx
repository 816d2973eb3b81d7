import { useState } from "preact/hooks";

import { Confirm } from "../../parts/dialog";
import { TextField } from "../../parts/field";
import { useSession } from "../../state";

export function NewItemDialog({ onClose }: { onClose: () => void }) {
  const { api } = useSession();
  const [itemId, setItemId] = useState("");
  const [text, setText] = useState("");
  const store = async () => {
    if (!itemId.trim()) throw new Error("The item needs an id.");
    await api.createItem({ itemId: itemId.trim(), text });
  };
  return (
    <Confirm title="New item" verb="Store" isDangerous={false} work={store} onClose={onClose}>
      <TextField label="Id" value={itemId} onValue={setItemId} required />
      <TextField label="Text" value={text} onValue={setText} lines={6} hint="It is embedded, which a provider may charge." />
    </Confirm>
  );
}
