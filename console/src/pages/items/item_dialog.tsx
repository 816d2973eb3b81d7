import { useState } from "preact/hooks";

import type { Attributes, Item } from "../../api/types";
import { findTitle, formatJson, formatTime, sortAttributes } from "../../format";
import { Confirm, Dialog } from "../../parts/dialog";
import { Busy, ErrorNotice, Notice } from "../../parts/notice";
import { buildLink } from "../../router";
import { useLoaded, useSession } from "../../state";
import { AttributeEditor } from "./attribute_editor";

interface ItemDialogProps {
  itemId: string;
  onClose: () => void;
  onChange: () => void;
}

/** One item, with the means to edit its attributes and to delete it. */
export function ItemDialog({ itemId, onClose, onChange }: ItemDialogProps) {
  const { api } = useSession();
  const task = useLoaded<Item>((signal) => api.getItem(itemId, signal), [api, itemId]);
  const [isDeleting, setDeleting] = useState(false);
  const item = task.value;
  return (
    <Dialog title={findTitle(item, itemId)} onClose={onClose} isWide>
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {!item && task.isRunning && <Busy />}
      {item && (
        <ItemView
          item={item}
          onDelete={() => setDeleting(true)}
          onSaved={(saved) => {
            task.set(saved);
            onChange();
          }}
        />
      )}
      {isDeleting && (
        <Confirm
          title="Delete the item"
          verb="Delete the item"
          work={() => api.deleteItem(itemId)}
          onClose={() => setDeleting(false)}
          onDone={() => {
            onChange();
            onClose();
          }}
        >
          <p>
            <strong>{findTitle(item, itemId)}</strong> is deleted for good. <span class="id">{itemId}</span>
          </p>
        </Confirm>
      )}
    </Dialog>
  );
}

interface ItemViewProps {
  item: Item;
  onDelete: () => void;
  onSaved: (item: Item) => void;
}

function ItemView({ item, onDelete, onSaved }: ItemViewProps) {
  const { api, scopes } = useSession();
  const [isEditing, setEditing] = useState(false);
  const save = async (attributes: Attributes) => {
    onSaved(await api.updateItem({ ...item, attributes }, "attributes"));
    setEditing(false);
  };
  return (
    <>
      {item.state === "ITEM_STATE_PENDING" && (
        <Notice kind="warning">
          <p>
            Pending: {item.pendingMessage} <code>{item.pendingReason}</code>
          </p>
        </Notice>
      )}
      <p class="item-text" dir="auto">
        {item.text}
      </p>
      <dl class="definitions">
        <dt>Id</dt>
        <dd class="id">{item.itemId}</dd>
        <dt>Written</dt>
        <dd>
          {formatTime(item.updateTime)}, sequence {item.sequence}
        </dd>
        {item.expireTime && (
          <>
            <dt>Expires</dt>
            <dd>{formatTime(item.expireTime)}</dd>
          </>
        )}
      </dl>
      <h3>Attributes</h3>
      {isEditing ? (
        <AttributeEditor attributes={item.attributes ?? {}} onSave={save} onCancel={() => setEditing(false)} />
      ) : (
        <>
          <AttributeList attributes={item.attributes ?? {}} />
          <div class="actions">
            <a class="button button-main" href={buildLink(api.name, "explore", { item: item.itemId })}>
              Explore from this item
            </a>
            {scopes.write && (
              <>
                <button class="button" onClick={() => setEditing(true)}>
                  Edit attributes
                </button>
                <button class="button button-danger" onClick={onDelete}>
                  Delete
                </button>
              </>
            )}
          </div>
        </>
      )}
    </>
  );
}

function AttributeList({ attributes }: { attributes: Attributes }) {
  const entries = sortAttributes(attributes);
  if (!entries.length) return <p class="muted">None</p>;
  return (
    <dl class="definitions">
      {entries.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd dir="auto">{Array.isArray(value) ? value.map(formatJson).join(", ") : formatJson(value)}</dd>
        </>
      ))}
    </dl>
  );
}
