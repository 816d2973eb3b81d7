// The API key lives in sessionStorage, which ends with the tab, and is sent as a header only.

const KEY = "akin.key";

export function readKey(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

export function storeKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

export function forgetKey(): void {
  sessionStorage.removeItem(KEY);
}
