import { createContext } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";

import { type CatalogApi, type Scopes } from "./api/methods";
import { isCanceled } from "./api/errors";

/** What every page knows: its catalog, the calls of it, and what the key may do. */
export interface Session {
  api: CatalogApi;
  scopes: Scopes;
  /** Load what the head of the page shows again: the catalogs with their numbers of items. */
  reload: () => void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("a page needs a session");
  return session;
}

export interface Task<T> {
  value: T | undefined;
  error: unknown;
  isRunning: boolean;
  run: (work: (signal: AbortSignal) => Promise<T>) => Promise<void>;
  cancel: () => void;
  set: (value: T | undefined) => void;
}

/** Run one piece of work at a time; a newer one cancels the older, and so does leaving the page. */
export function useTask<T>(): Task<T> {
  const [value, set] = useState<T>();
  const [error, setError] = useState<unknown>();
  const [isRunning, setRunning] = useState(false);
  const current = useRef<AbortController | undefined>(undefined);
  const cancel = useCallback(() => {
    current.current?.abort();
    setRunning(false);
  }, []);
  const run = useCallback(async (work: (signal: AbortSignal) => Promise<T>) => {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    setRunning(true);
    setError(undefined);
    try {
      const result = await work(controller.signal);
      if (!controller.signal.aborted) set(result);
    } catch (failure) {
      if (!controller.signal.aborted && !isCanceled(failure)) setError(failure);
    } finally {
      if (current.current === controller) setRunning(false);
    }
  }, []);
  useEffect(() => () => current.current?.abort(), []);
  return { value, error, isRunning, run, cancel, set };
}

/** Load a value at once, and again when an input changes. A value of former inputs is never returned. */
export function useLoaded<T>(work: (signal: AbortSignal) => Promise<T>, inputs: unknown[]): Task<T> & {
  reload: () => void;
} {
  const task = useTask<T>();
  const loaded = useRef(inputs);
  // The effect runs after the first drawing with new inputs, which must not have the former value.
  const isFormer = inputs.some((input, index) => input !== loaded.current[index]);
  const reload = () => void task.run(work);
  useEffect(() => {
    loaded.current = inputs;
    task.set(undefined);
    reload();
  }, inputs);
  return isFormer ? { ...task, value: undefined, error: undefined, isRunning: true, reload } : { ...task, reload };
}

/** Show the start of the page whenever what it shows changes. */
export function useScrollUp(shown: string): void {
  const former = useRef(shown);
  useEffect(() => {
    if (former.current !== shown) scrollTo(0, 0);
    former.current = shown;
  }, [shown]);
}

/** Return a value once it has not changed for a time, so that typing does not cause a call for each letter. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value);
  const text = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [text, milliseconds]);
  return settled;
}
