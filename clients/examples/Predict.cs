// Ask a NitroGen gateway for the actions for one picture. .NET 6 or newer, or Mono; no packages.
//
//     dotnet new console -o predict && cp Predict.cs predict/Program.cs
//     dotnet run --project predict -- FILE [HOST [PORT]]
//
//     mcs -r:System.Runtime.Serialization Predict.cs && mono Predict.exe FILE [HOST [PORT]]
//
// FILE: a PNG, JPEG, BMP or WebP picture, or 196,608 bytes of raw RGB (256x256, row by row).

using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading;

// A reply, under its names in JSON. System.Text.Json would do as well, but Mono lacks it.
[DataContract]
public class Reply
{
    [DataMember(Name = "status")] public string Status = "";
    [DataMember(Name = "message")] public string Message = "";
    [DataMember(Name = "pred")] public Chunk Actions = new Chunk();
}

// A chunk of actions, a row for each step: 21 buttons of 0 and 1, sticks as x and y of -1 to 1.
[DataContract]
public class Chunk
{
    [DataMember(Name = "buttons")] public int[][] Buttons = { };
    [DataMember(Name = "j_left")] public double[][] Left = { };
    [DataMember(Name = "j_right")] public double[][] Right = { };
}

public static class Predict
{
    static readonly string[] ButtonNames = (
        "BACK DPAD_DOWN DPAD_LEFT DPAD_RIGHT DPAD_UP EAST GUIDE LEFT_SHOULDER LEFT_THUMB LEFT_TRIGGER NORTH " +
        "RIGHT_BOTTOM RIGHT_LEFT RIGHT_RIGHT RIGHT_SHOULDER RIGHT_THUMB RIGHT_TRIGGER RIGHT_UP SOUTH START WEST"
    ).Split(' ');
    const int TimeoutMs = 10000; // the gateway answers within 4 s, if need be with an error
    const int Tries = 3;
    const int LongestReply = 65536; // bytes; a gateway's are much shorter

    // Connects. A game keeps its connection, to which the model's memory belongs.
    static TcpClient Connect(string host, int port) =>
        new TcpClient(host, port) { NoDelay = true, SendTimeout = TimeoutMs, ReceiveTimeout = TimeoutMs };

    // Sends one picture and returns the reply's line. Throws IOException if the connection is lost or time is up.
    static byte[] Ask(TcpClient connection, byte[] image)
    {
        byte[] header = Encoding.ASCII.GetBytes("{\"type\": \"predict\", \"len\": " + image.Length + "}\n");
        byte[] request = header.Concat(image).ToArray();
        connection.GetStream().Write(request, 0, request.Length);
        var line = new MemoryStream();
        var piece = new byte[4096];
        var time = Stopwatch.StartNew();
        int count;
        do
        {
            if (time.ElapsedMilliseconds > TimeoutMs) throw new IOException("no whole answer came in time");
            count = connection.GetStream().Read(piece, 0, piece.Length);
            if (count == 0) throw new IOException("the connection was closed");
            line.Write(piece, 0, count);
        } while (Array.IndexOf(piece, (byte)'\n', 0, count) < 0 && line.Length < LongestReply);
        return line.ToArray().TakeWhile(letter => letter != '\n').ToArray(); // a gateway sends nothing after it
    }

    // Returns the first step of a chunk of actions as text.
    static string FirstStep(Chunk chunk)
    {
        var pressed = ButtonNames.Where((name, column) => chunk.Buttons[0][column] == 1).DefaultIfEmpty("none");
        Func<double[], string> stick = xy => FormattableString.Invariant($"x {xy[0]:F3}, y {xy[1]:F3}");
        return $"{chunk.Buttons.Length} steps; the first:\n" +
            $"  buttons       {string.Join(" ", pressed)}\n" +
            $"  left stick    {stick(chunk.Left[0])}\n" +
            $"  right stick   {stick(chunk.Right[0])}";
    }

    // Prints what a reply's line says, and returns the exit status.
    static int Show(byte[] line, string server)
    {
        try
        {
            var reader = new DataContractJsonSerializer(typeof(Reply));
            var reply = (Reply)reader.ReadObject(new MemoryStream(line));
            if (reply.Status == "ok")
            {
                Console.WriteLine(FirstStep(reply.Actions));
                return 0;
            }
            if (string.IsNullOrEmpty(reply.Message)) throw new SerializationException("no message");
            Console.Error.WriteLine("the gateway says: " + reply.Message);
            return 1;
        }
        catch (Exception) // the reader throws many kinds, and rows may be missing
        {
            var begins = Encoding.ASCII.GetString(line, 0, Math.Min(60, line.Length)).TrimEnd();
            begins = new string(begins.Select(letter => letter >= ' ' && letter <= '~' ? letter : '?').ToArray());
            Console.Error.WriteLine($"{server} is not a NitroGen gateway's TCP port: it answers \"{begins}\"");
            return 2;
        }
    }

    // Asks, and tries again if the connection is lost; returns the exit status.
    public static int Main(string[] words)
    {
        ushort port = 5556;
        if (words.Length < 1 || words.Length > 3 || (words.Length > 2 && !ushort.TryParse(words[2], out port)))
        {
            Console.Error.WriteLine("usage: Predict FILE [HOST [PORT]]");
            return 2;
        }
        byte[] image;
        try
        {
            image = File.ReadAllBytes(words[0]);
        }
        catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"the picture {words[0]} cannot be read: {error.Message}");
            return 2;
        }
        string host = words.Length > 1 ? words[1] : "127.0.0.1";
        for (int number = 1; number <= Tries; number++)
        {
            try
            {
                using (var connection = Connect(host, port))
                {
                    return Show(Ask(connection, image), $"{host}:{port}");
                }
            }
            catch (Exception error) when (error is IOException || error is SocketException)
            {
                Console.Error.WriteLine($"no answer from {host}:{port}, try {number} of {Tries}: {error.Message}");
                if (number < Tries) Thread.Sleep(1000);
            }
        }
        return 2;
    }
}
