"""Client with one method for each RPC; `akin._async` is for asyncio, `akin._sync` blocks."""
