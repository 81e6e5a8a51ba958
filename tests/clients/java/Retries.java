import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.CallOptions;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;

/** A client with grpc-java and the documented service config; ../retries.py says what it reads and prints. */
public class Retries {
    /** Sends and receives messages as they are. */
    static final MethodDescriptor.Marshaller<byte[]> RAW = new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream bytes) {
            try {
                return bytes.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    };

    public static void main(String[] arguments) throws Exception {
        Map<String, ?> config = new Gson().fromJson(Files.readString(Path.of(arguments[1])), new TypeToken<Map<String, ?>>() {}.getType());
        ManagedChannel channel = Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create())
                .defaultServiceConfig(config).enableRetry().build();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            String[] words = line.split(" ", 2);
            var method = MethodDescriptor.newBuilder(RAW, RAW).setType(MethodDescriptor.MethodType.UNARY)
                    .setFullMethodName(words[0].substring(1)).build();
            try {
                ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT.withWaitForReady(), HexFormat.of().parseHex(words[1]));
                System.out.println("OK");
            } catch (StatusRuntimeException error) {
                System.out.println(error.getStatus().getCode());
            }
        }
        channel.shutdownNow();
    }
}
