package io.akin;

import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.Item;
import io.akin.v1.RecommenderServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.Queue;
import java.util.function.Consumer;

/**
 * One import, run by the thread that asked for it: reading items may block, which the threads of
 * gRPC must not.
 */
final class ItemImport {
  /** Few enough that progress shows, enough that the server stores many at once. */
  static final int MESSAGE_ITEMS = 256;

  static final int MESSAGE_BYTES = 4 << 20;

  private final ClientCall<ImportItemsRequest, ImportItemsResponse> call;
  private final ImportItemsRequest settings;
  private final Iterator<Item> items;
  private final Replies replies = new Replies();
  private Item next;

  ItemImport(Channel channel, ImportItemsRequest settings, Iterator<Item> items) {
    call = channel.newCall(RecommenderServiceGrpc.getImportItemsMethod(), CallOptions.DEFAULT);
    this.settings = settings.toBuilder().clearItems().build();
    this.items = items;
  }

  void run(Consumer<ImportItemsResponse> consumer) {
    call.start(replies, new Metadata());
    try {
      call.request(1);
      boolean sending = true;
      while (replies.await(sending)) {
        for (ImportItemsResponse each = replies.poll(); each != null; each = replies.poll()) {
          call.request(1);
          consumer.accept(each);
        }
        if (sending && call.isReady()) {
          sending = sendNext();
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      call.cancel("interrupted", e);
      throw AkinException.of(Status.CANCELLED.withCause(e).asRuntimeException());
    } catch (RuntimeException | Error e) {
      call.cancel("the import was given up", e);
      throw e;
    }
    if (replies.failure != null) {
      throw AkinException.of(replies.failure);
    }
  }

  /** Sends one message, or tells the server that there are no more. */
  private boolean sendNext() {
    ImportItemsRequest.Builder message = settings.toBuilder();
    int bytes = 0;
    while (message.getItemsCount() < MESSAGE_ITEMS && (next != null || items.hasNext())) {
      Item item = next != null ? next : items.next();
      int size = item.getSerializedSize();
      if (message.getItemsCount() > 0 && bytes + size > MESSAGE_BYTES) {
        next = item;
        break;
      }
      next = null;
      bytes += size;
      message.addItems(item);
    }
    if (message.getItemsCount() == 0) {
      call.halfClose();
      return false;
    }
    call.sendMessage(message.build());
    return true;
  }

  /** What gRPC's threads hand over. */
  private final class Replies extends ClientCall.Listener<ImportItemsResponse> {
    private final Queue<ImportItemsResponse> waiting = new ArrayDeque<>();
    private boolean closed;
    private StatusRuntimeException failure;

    /** Waits until there is something to do; false once there never will be. */
    synchronized boolean await(boolean sending) throws InterruptedException {
      while (waiting.isEmpty() && !closed && !(sending && call.isReady())) {
        wait();
      }
      return !waiting.isEmpty() || !closed;
    }

    synchronized ImportItemsResponse poll() {
      return waiting.poll();
    }

    @Override
    public synchronized void onReady() {
      notifyAll();
    }

    @Override
    public synchronized void onMessage(ImportItemsResponse response) {
      waiting.add(response);
      notifyAll();
    }

    @Override
    public synchronized void onClose(Status status, Metadata trailers) {
      closed = true;
      failure = status.isOk() ? null : status.asRuntimeException(trailers);
      notifyAll();
    }
  }
}
