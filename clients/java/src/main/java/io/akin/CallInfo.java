package io.akin;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Names a call, and receives what the server says about it. Use one for each call.
 *
 * <pre>{@code
 * CallInfo info = new CallInfo("order-1017");
 * client.recommender().withInterceptors(info).recommendSimilar(request);
 * System.out.println(info.requestId() + " " + info.serverTiming().get("total"));
 * }</pre>
 *
 * <p>{@link AkinClient#withInterceptors} passes it to imports.
 */
public final class CallInfo implements ClientInterceptor {
  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final Metadata.Key<String> SERVER_TIMING =
      Metadata.Key.of("server-timing", Metadata.ASCII_STRING_MARSHALLER);

  private volatile String requestId;
  private volatile Map<String, Duration> serverTiming = Map.of();

  /** Creates an object for a call whose id the server makes. */
  public CallInfo() {
    this("");
  }

  /**
   * Creates an object for a call with an id.
   *
   * @param requestId the id to send, 1 to 128 visible ASCII characters; the server replaces any
   *     other one
   */
  public CallInfo(String requestId) {
    this.requestId = Objects.requireNonNull(requestId);
  }

  /**
   * Returns the id of the call, which the log of the server has: before the end of the call, the id
   * to send; after it, the id that the server used. Empty if there is none.
   */
  public String requestId() {
    return requestId;
  }

  /**
   * Returns the duration of each stage of a successful call in the server, such as {@code embed} and
   * {@code search}. {@code total} is the whole call. Empty before the end of the call.
   */
  public Map<String, Duration> serverTiming() {
    return serverTiming;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<R> listener, Metadata headers) {
        if (!requestId.isEmpty()) {
          headers.put(REQUEST_ID, requestId);
        }
        super.start(new EndListener<>(listener), headers);
      }
    };
  }

  /** Returns the request id in the trailing metadata of a call; empty if there is none. */
  static String findRequestId(Metadata trailers) {
    return find(trailers, REQUEST_ID);
  }

  private static String find(Metadata trailers, Metadata.Key<String> key) {
    String value = trailers == null ? null : trailers.get(key);
    return value == null ? "" : value;
  }

  /** Parses a Server-Timing header (W3C). A proxy may add entries without a duration. */
  private static Map<String, Duration> parseTiming(String header) {
    Map<String, Duration> timing = new LinkedHashMap<>();
    for (String entry : header.split(",")) {
      String[] parts = entry.trim().split(";dur=", 2);
      if (parts.length == 2) {
        try {
          timing.put(parts[0], Duration.ofNanos((long) (Double.parseDouble(parts[1]) * 1e6)));
        } catch (NumberFormatException e) {
          continue;
        }
      }
    }
    return Map.copyOf(timing);
  }

  private final class EndListener<R> extends SimpleForwardingClientCallListener<R> {
    EndListener(ClientCall.Listener<R> listener) {
      super(listener);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      requestId = find(trailers, REQUEST_ID);
      serverTiming = parseTiming(find(trailers, SERVER_TIMING));
      super.onClose(status, trailers);
    }
  }
}
