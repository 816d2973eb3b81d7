import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";

interface TabsProps<V extends string> {
  label: string;
  value: V;
  tabs: Record<V, string>;
  onValue: (value: V) => void;
  children: ComponentChildren;
}

/** Tabs over one panel; arrow keys move between them. */
export function Tabs<V extends string>({ label, value, tabs, onValue, children }: TabsProps<V>) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const names = Object.keys(tabs) as V[];
  const move = (step: number) => {
    const index = (names.indexOf(value) + step + names.length) % names.length;
    onValue(names[index] as V);
    (list.current?.children[index] as HTMLElement | undefined)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={list}>
        {names.map((name) => (
          <button
            key={name}
            role="tab"
            id={`${id}-${name}`}
            aria-selected={name === value}
            aria-controls={`${id}-panel`}
            tabIndex={name === value ? 0 : -1}
            onClick={() => onValue(name)}
            onKeyDown={(event) => {
              if (event.key === "ArrowRight") move(1);
              if (event.key === "ArrowLeft") move(-1);
            }}
          >
            {tabs[name]}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${value}`} tabIndex={0} class="tab-panel">
        {children}
      </div>
    </>
  );
}
