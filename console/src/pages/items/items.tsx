export function Items() { return <p>Items</p>; }
