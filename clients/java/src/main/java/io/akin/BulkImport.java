package io.akin;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.Queue;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * An import of items, users or interactions. It runs in the thread of the caller, because the
 * consumer of the responses can block, and the threads of gRPC must not block.
 *
 * @param <E> the type of the resources
 * @param <Q> the type of the requests
 * @param <R> the type of the responses
 */
final class BulkImport<E extends MessageLite, Q, R> {
  private final ClientCall<Q, R> call;
  private final Function<List<E>, Q> request;
  private final Responses responses = new Responses();
  private final BatchReader<E> reader;
  private int pending;

  BulkImport(
      Channel channel,
      MethodDescriptor<Q, R> method,
      Function<List<E>, Q> request,
      Iterator<E> resources) {
    call = channel.newCall(method, CallOptions.DEFAULT);
    this.request = request;
    reader = new BatchReader<>(resources, responses);
  }

  /**
   * Sends all resources and passes the responses to the consumer.
   *
   * @throws AkinException if the call failed
   */
  void run(Consumer<R> consumer) {
    call.start(responses, new Metadata());
    reader.start();
    boolean sending = true;
    try {
      call.request(1);
      while (responses.await(sending)) {
        for (R response = responses.poll(); response != null; response = responses.poll()) {
          call.request(1);
          pending--;
          consumer.accept(response);
        }
        if (sending && responses.canSend()) {
          sending = sendNext();
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      call.cancel("interrupted", e);
      throw AkinException.of(Status.CANCELLED.withCause(e).asRuntimeException());
    } catch (RuntimeException | Error e) {
      call.cancel("the import failed in the client", e);
      throw e;
    } finally {
      reader.stop();
    }
    if (responses.failure != null) {
      throw AkinException.of(responses.failure);
    }
    if (sending || pending > 0) {
      Status early = Status.INTERNAL.withDescription("the server ended the import early");
      throw AkinException.of(early.asRuntimeException());
    }
  }

  /** Sends one message. Closes the request stream and returns false if there are no more. */
  private boolean sendNext() {
    List<E> batch = reader.take();
    if (batch.isEmpty()) {
      call.halfClose();
      return false;
    }
    call.sendMessage(request.apply(batch));
    pending++;
    return true;
  }

  /** The responses that the threads of gRPC receive. */
  private final class Responses extends ClientCall.Listener<R> {
    private final Queue<R> queue = new ArrayDeque<>();
    private boolean closed;
    private StatusRuntimeException failure;

    /**
     * Waits until there is a response, or until a message can be sent. Returns false if the call
     * has ended.
     */
    synchronized boolean await(boolean sending) throws InterruptedException {
      while (queue.isEmpty() && !closed && !(sending && canSend())) {
        wait();
      }
      return !queue.isEmpty() || !closed;
    }

    /** Returns true if there is a message to send, or an exception of the source to throw. */
    synchronized boolean canSend() {
      return reader.isReady() && call.isReady();
    }

    synchronized R poll() {
      return queue.poll();
    }

    @Override
    public synchronized void onReady() {
      notifyAll();
    }

    @Override
    public synchronized void onMessage(R response) {
      queue.add(response);
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
